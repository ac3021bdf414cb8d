//! The path of a request: ten stages, in this order.
//!
//! What one stage learned is the argument of the next. Authentication comes before the body is
//! read, so that strangers cannot make us hold megabytes; routes are resolved before access is
//! decided, so that an unknown model is 404 and a forbidden one 403; capacity is reserved last, so
//! that a request which would be rejected anyway takes none.

pub mod accept;
pub mod authenticate;
pub mod read;
pub mod resolve;
pub mod authorize;
pub mod reserve;
pub mod pick;
pub mod forward;
pub mod retry;
pub mod relay;
pub mod record;
