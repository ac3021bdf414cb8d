//! Counts the tokens a reply cost while it passes through.
//!
//! One reader for each form of a reply: [`JsonUsageReader`] watches a JSON body and keeps nothing
//! of it but `usage`; [`SseUsageReader`] watches a stream of events, and can also remove the usage
//! that we requested and the client did not. Neither waits for the end: what needs no change is
//! passed on as received.
//!
//! These counts are billed, so a model must not be able to write its own bill: `usage` is
//! believed only as a member of the outermost object (or of the `response` or `message` in an
//! event that carries one), never in a text, a tool's arguments or a nested object.

mod error_event;
mod event_summary;
mod format;
mod json_reply;
pub mod sse;
mod stream;
mod token_counts;

pub use error_event::{FirstEvent, error_event, first_event};
pub use format::UsageFormat;
pub use json_reply::JsonUsageReader;
pub use stream::{SseUsageReader, StreamSummary, UsageFilter};
pub use token_counts::TokenUsage;
