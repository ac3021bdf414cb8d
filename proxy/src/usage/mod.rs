//! How many tokens a reply cost, read from the reply while it passes.
//!
//! Two readers, one for each way a reply comes. [`ReplyReader`] watches a JSON body and keeps
//! nothing of it but `usage`. [`StreamReader`] watches a stream of events, and can also take
//! out of it the usage that we asked for and the client did not. Neither waits for the end:
//! what needs no change is passed on as it came.
//!
//! What they count is billed, so a model must not be able to write its own bill: `usage` is
//! believed only as a member of the outermost object (or of the `response` or `message` in an
//! event that carries one), never in a text, a tool's arguments or a nested object.

pub use failure::{FirstEvent, error_event, first_event, look};
pub use json_reply::ReplyReader;
pub use stream::{Hide, StreamEnd, StreamReader};

/// How the replies of an operation say what was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/responses`: typed events, usage in the last one under `response`.
    Responses,
    /// `/v1/messages`: typed events; `input_tokens` does not include what came from a cache.
    Messages,
    /// Embeddings, rerank, score, pooling and classify: no output.
    Embeddings,
    /// Transcriptions and translations; some models count seconds instead of tokens.
    Audio,
    /// Images.
    Images,
    /// Nothing is used, or nobody counts it.
    None,
}

/// Tokens that one reply cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens the model read, those from a cache included.
    pub input_tokens: u64,
    /// Tokens the model wrote.
    pub output_tokens: u64,
    /// How many of the input tokens came from a cache.
    pub cached_tokens: u64,
    /// Whether the upstream did not tell all of it: then some or all output tokens are counted
    /// as one for each event that brought text, and the input may be 0.
    pub estimated: bool,
}

mod counts;
mod event;
mod failure;
mod json_reply;
pub mod sse;
mod stream;
