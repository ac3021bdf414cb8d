//! Responses of the gateway itself, and what every response carries.

pub mod dialect;
pub mod cors;
pub mod context;
pub mod rejection;
pub mod request_error;
pub mod writer;
