//! The API of vLLM and of an OpenAI provider.

mod json;
mod error;
mod call;
mod request;
mod generate;
mod tools;
mod chat;
mod completions;
mod responses;
mod stored;
mod messages;
mod pooling;
mod tokenize;
mod audio;
mod images;
mod operate;
mod control;
mod router;

pub(crate) use call::Call;
pub(crate) use error::ApiError;
pub(crate) use router::answer;
