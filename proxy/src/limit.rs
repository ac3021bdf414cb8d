//! Limits on what runs.

pub mod concurrency;
