//! How the replies of an operation report usage.

/// How the replies of an operation report usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageFormat {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/responses`: typed events, usage in the last one under `response`.
    Responses,
    /// `/v1/messages`: typed events; `input_tokens` excludes tokens read from a cache.
    Messages,
    /// Embeddings, rerank, score, pooling and classify: no output.
    Embeddings,
    /// Transcriptions and translations; some models count seconds instead of tokens.
    Audio,
    Images,
    /// No usage.
    None,
}
