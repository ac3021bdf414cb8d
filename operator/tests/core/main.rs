//! The operator on a real control plane without nodes: the API server stores, defaults, validates
//! and collects, the controller manager makes pods, and nothing runs them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;
mod models;
mod takeover;
mod providers;
mod keys;
mod namespaces;
mod authority;
mod steadiness;
mod faults;
mod definitions;
mod table;
