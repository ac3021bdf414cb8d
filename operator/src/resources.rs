//! The custom resources, each reconciled by the same steps: observe, check, plan, apply, report.

pub mod model;
pub mod provider;
pub mod key;
pub mod report;
mod controller;
mod conditions;
mod finalizer;
mod ignored;
mod quantity;

pub(crate) use quantity::units;
