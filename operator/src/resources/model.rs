//! `LLMModel`: observe, check, plan, apply, report.

pub mod names;
pub mod observe;
pub mod check;
pub mod plan;
pub mod pods;
pub mod progress;
pub mod assessment;
pub mod status;
mod reconcile;

pub use reconcile::run;
