//! The custom resources, each reconciled by the same steps: observe, check, plan, apply, report.

pub mod model;
pub mod provider;
pub mod key;
pub mod report;
mod finalizer;
mod ignored;
pub mod quantity;
