//! What did the upstream reply? Peeked at before the client is sent anything, then passed on.
//!
//! A model server may send 200 and an error in the first event of the stream. So the first event
//! is awaited before the status is sent: an error becomes the right status, or another endpoint is
//! tried. After that, bytes are passed on as they arrive.

mod body;
mod error_reply;
mod reply_head;
mod response_header;

pub use body::Relay;
pub use error_reply::ErrorReply;
pub use reply_head::{ReplyHead, peek};
