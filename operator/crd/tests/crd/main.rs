//! The definitions, against a real API server where it matters.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;
mod generated;
mod schema;
mod examples;
mod explain;
mod rules;
mod ratcheting;
