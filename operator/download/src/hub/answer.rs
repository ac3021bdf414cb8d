//! What an answer comes to that is not what was asked for.

use super::Token;
use crate::Failure;
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_RANGE, HeaderMap, RETRY_AFTER},
};
use serde::Deserialize;
use std::{fmt, time::Duration};

/// What is told of what the hub says, in characters.
const MESSAGE_CHARS_MAX: usize = 300;
/// What is read of what the hub says, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Why there is no answer; trying again may help.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Busy, or broken for a while.
    #[error("it answered {status}")]
    Status {
        /// Answered.
        status: StatusCode,
        /// When to ask again, if it says so.
        retry_after: Option<Duration>,
    },
    /// The connection.
    #[error("the connection failed")]
    Request(#[source] reqwest::Error),
    /// Silence.
    #[error("nothing came for {} ms", .0.as_millis())]
    Stalled(Duration),
    /// It would take for ever.
    #[error("it took more than {} s", .0.as_secs())]
    Slow(Duration),
    /// Cut off.
    #[error("it ended after {bytes} of {size} bytes")]
    EndedEarly {
        /// What came.
        bytes: u64,
        /// What should.
        size: u64,
    },
    /// More than there is.
    #[error("more bytes came than the {size} that the file has")]
    TooLong {
        /// What should.
        size: u64,
    },
    /// Another part of the file.
    #[error("it answered with another range than was asked for")]
    OtherRange,
    /// Sent around.
    #[error("it redirected more than {0} times")]
    Redirects(usize),
    /// Sent nowhere.
    #[error("it redirected to no URL")]
    Location(#[source] url::ParseError),
    /// Sent to where others listen.
    #[error("it redirected from https to http")]
    Insecure,
}

/// A request that came to nothing.
#[derive(Debug)]
pub(crate) enum Miss {
    /// Trying again may help.
    Again(Trouble),
    /// It will not.
    Never(Failure),
}

/// What the hub says to people, begun with `: `, or nothing. Bounded and printable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubMessage(String);

#[derive(Deserialize)]
struct Complaint {
    error: String,
}

impl Trouble {
    /// A failed request, without its URL: that of a storage server holds a signature.
    pub(crate) fn request(error: reqwest::Error) -> Self {
        Self::Request(error.without_url())
    }

    /// A status that may pass. A storage server that refuses found the hub's signature too old.
    pub(crate) fn passing(status: StatusCode, from_hub: bool, headers: &HeaderMap) -> Option<Self> {
        let busy = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| value.parse().ok()).map(Duration::from_secs);
        (busy || status.is_server_error() || !from_hub)
            .then_some(Self::Status { status, retry_after })
    }

    /// When the hub wants to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        if let Self::Status { retry_after, .. } = self { *retry_after } else { None }
    }

    /// Whether what came so far is worth nothing.
    pub(crate) fn spoils(&self) -> bool {
        matches!(self, Self::TooLong { .. } | Self::OtherRange)
    }
}

/// Whether a partial answer begins where it should.
pub(super) fn begins_at(headers: &HeaderMap, from: u64) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-'));
    first.is_some_and(|(first, _)| first.parse() == Ok(from))
}

impl HubMessage {
    /// What a refusal says, in a header or in its body; without the token, should it be there.
    pub(super) async fn of(mut response: Response, token: Option<&Token>) -> Self {
        let header = response.headers().get("x-error-message");
        if let Some(text) = header.and_then(|header| header.to_str().ok()) {
            return Self::new(text, token);
        }
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > MESSAGE_BYTES_MAX {
                return Self::default();
            }
        }
        serde_json::from_slice(&body)
            .map_or_else(|_other| Self::default(), |Complaint { error }| Self::new(&error, token))
    }

    fn new(text: &str, token: Option<&Token>) -> Self {
        let text = token.map_or_else(|| text.to_owned(), |token| token.hidden_in(text));
        let printable = text.chars().filter(|c| !c.is_control());
        Self(format!(": {}", printable.take(MESSAGE_CHARS_MAX).collect::<String>()))
    }
}

impl fmt::Display for HubMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Trouble> for Miss {
    fn from(trouble: Trouble) -> Self {
        Self::Again(trouble)
    }
}

impl From<Failure> for Miss {
    fn from(failure: Failure) -> Self {
        Self::Never(failure)
    }
}
