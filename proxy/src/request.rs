//! What a request goes through, by what it asks for.

pub mod exchange;
pub mod inference;
pub mod stored_responses;
pub mod upstream_attempts;
pub mod list_models;
pub mod preflight;
pub mod explain;
