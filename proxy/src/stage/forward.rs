//! What may the upstream see?

mod request_head;
mod usage_injection;

pub use request_head::UpstreamHead;
pub use usage_injection::usage_injection;
