//! `ApiKey`: it needs only a status.

mod evaluate;
mod reconcile;

pub use reconcile::{requeue, run};
