//! Limits on requests.

pub mod concurrency;
