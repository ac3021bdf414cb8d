//! Answers the gateway writes itself.

pub mod rejection;
pub mod request_error;
pub mod writer;
