//! What goes wrong with the hub, and whether a retry may help.

use super::{access::HubToken, listing::InvalidListing};
use reqwest::{
    StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde::Deserialize;
use std::{fmt, time::Duration};

/// The longest part of the hub's message that is repeated, in characters.
const MESSAGE_CHARS_MAX: usize = 300;

/// A failed request to the hub.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("it answered {status}")]
    Status { status: StatusCode, retry_after: Option<Duration> },
    #[error("the connection failed")]
    Request(#[source] reqwest::Error),
    #[error("no data for {} ms", .0.as_millis())]
    Stalled(Duration),
    #[error("it took more than {} s", .0.as_secs())]
    TooSlow(Duration),
    #[error("it ended after {bytes} of {size} bytes")]
    Truncated { bytes: u64, size: u64 },
    #[error("it sent more than the {size} bytes of the file")]
    TooLong { size: u64 },
    #[error("it answered with another range than the requested one")]
    WrongRange,
    #[error("it redirected more than {0} times")]
    TooManyRedirects(usize),
    #[error("it redirected to an invalid URL")]
    Location(#[source] url::ParseError),
    #[error("it redirected from https to http")]
    InsecureRedirect,
    #[error("the hub is not available: gave up on {what} after {attempts} attempts")]
    Unavailable { what: String, attempts: usize, source: Box<Self> },
    #[error(
        "the hub refuses {repository} with {status}{message}: check the name; if the model is \
         gated, accept its licence at {page}; then name in `authSecretName` a Secret whose \
         `HF_TOKEN` may read it"
    )]
    Denied { repository: String, status: StatusCode, message: HubMessage, page: String },
    #[error(
        "the hub has no {repository} at revision `{revision}`{message}: check the name and the \
         revision"
    )]
    NotFound { repository: String, revision: String, message: HubMessage },
    #[error("the hub answers {status} for {repository}{message}")]
    Refused { repository: String, status: StatusCode, message: HubMessage },
    #[error("the files that the hub lists for {repository} cannot be used")]
    Listing { repository: String, source: InvalidListing },
    #[error(
        "this image has no root certificates, so {endpoint} cannot be trusted: mount some and \
         name them in `SSL_CERT_FILE`"
    )]
    NoRoots { endpoint: String },
    #[error("creating the HTTP client")]
    Client(#[source] reqwest::Error),
    #[error("setting up TLS")]
    Tls(#[source] rustls::Error),
}

/// The hub's explanation, preceded by `: `, or empty. Bounded and printable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubMessage(String);

#[derive(Deserialize)]
struct ErrorBody {
    error: String,
}

impl HubError {
    /// A failed request, without its URL: that of a storage server holds a signature.
    pub(super) fn request(error: reqwest::Error) -> Self {
        Self::Request(error.without_url())
    }

    /// A status that a retry may change. A storage server refuses when the hub's signature has
    /// expired.
    pub(super) fn transient(status: StatusCode, is_hub: bool, headers: &HeaderMap) -> Option<Self> {
        let busy = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| value.parse().ok()).map(Duration::from_secs);
        (busy || status.is_server_error() || !is_hub)
            .then_some(Self::Status { status, retry_after })
    }

    pub(crate) fn is_retryable(&self) -> bool {
        !matches!(
            self,
            Self::Unavailable { .. }
                | Self::Denied { .. }
                | Self::NotFound { .. }
                | Self::Refused { .. }
                | Self::Listing { .. }
                | Self::NoRoots { .. }
                | Self::Client(_)
                | Self::Tls(_)
        )
    }

    /// The wait that the hub asks for.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        if let Self::Status { retry_after, .. } = self { *retry_after } else { None }
    }

    /// Whether the bytes received so far are worthless.
    pub(crate) fn discards_part(&self) -> bool {
        matches!(self, Self::TooLong { .. } | Self::WrongRange)
    }
}

impl HubMessage {
    /// The message of an error response, from its header or body, without the token.
    pub(super) fn new(headers: &HeaderMap, body: &[u8], token: Option<&HubToken>) -> Self {
        let header = headers.get("x-error-message").and_then(|text| text.to_str().ok());
        let body = || serde_json::from_slice(body).ok().map(|ErrorBody { error }| error);
        let Some(text) = header.map(str::to_owned).or_else(body) else { return Self::default() };
        let text = token.map_or_else(|| text.clone(), |token| token.redact(&text));
        let printable = text.chars().filter(|c| !c.is_control());
        Self(format!(": {}", printable.take(MESSAGE_CHARS_MAX).collect::<String>()))
    }
}

impl fmt::Display for HubMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
