//! `PassthroughModel`: it needs only routes and a status.

mod reconcile;
mod status;

pub use reconcile::run;
