//! What came back? Looked at before the client is told anything, then passed on as it comes.
//!
//! A model server may answer 200 and refuse in the first event of the stream. So the first event
//! is awaited before the status goes out: a refusal becomes the right status, or another
//! endpoint is asked. After that bytes go on as they come, whatever they are.

mod first;
mod header;
mod hiding;
mod refusal;
mod run;

pub use first::{First, look};
pub use hiding::hiding;
pub use refusal::Refusal;
pub use run::{Relay, Stop};
