//! Serving a request, by what it asks for.

pub mod exchange;
pub mod call;
pub mod inference;
pub mod stored_responses;
pub mod upstream_attempts;
pub mod list_models;
pub mod preflight;
pub mod explain;
