//! The path of a request: ten stages, in this order.
//!
//! What one stage learned is the argument of the next. Authentication comes before the body is
//! read, so that a stranger cannot make us hold megabytes; a route is found before access is
//! decided, so that an unknown model is 404 and a forbidden one 403; room is reserved last, so
//! that nobody's limit pays for a request that would be refused anyway.

pub mod accept;
pub mod authenticate;
pub mod read;
pub mod resolve;
pub mod authorize;
pub mod reserve;
pub mod pick;
pub mod forward;
pub mod relay;
pub mod record;
