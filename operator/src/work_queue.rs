//! A de-duplicating, rate-limited work queue, like client-go's `workqueue`.
//!
//! It holds keys, so it is never longer than there are resources. A key that is pushed while it is
//! being reconciled is reconciled again afterwards, never twice at a time. What failed is retried
//! with exponential back-off.

mod action;
mod queue;
mod schedule;

pub use action::Action;
pub use queue::WorkQueue;
