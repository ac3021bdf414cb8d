//! What follows each reply and each failure of an upstream.
//!
//! | An attempt ends with | Try another endpoint | If none is left | Health |
//! |---|---|---|---|
//! | a reply, or an error such as 400, 429 or 500 | no | relay it | success |
//! | 401: the gateway's credential is rejected | no | 502 | success |
//! | 503, as status or as the first event | yes | relay it | success |
//! | no address, or no connection | yes | relay an earlier 503, else 502 | failure |
//! | a lost connection, or an invalid reply | yes | relay an earlier 503, else 502 | failure |
//! | a timeout of connecting | yes | 504 | failure |
//! | an idle timeout | no | 504 | failure |
//!
//! A 429 is a limit of the account or the model, which another endpoint would not lift: the client
//! gets it with its `Retry-After`. After an idle timeout the endpoint may still be working on the
//! request, so that no other is asked. A reply that is being relayed is never tried again.

use crate::{response::rejection::Rejection, upstream::UpstreamError};
use http::StatusCode;

/// Attempts after the first that sent the request: one that crashes its servers must not go
/// through all of them. Refused connections do not count.
pub const RETRIES_AFTER_SENDING_MAX: usize = 2;

/// How an attempt at an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    Reply(StatusCode),
    NotConnected,
    ConnectTimeout,
    ConnectionLost,
    InvalidReply,
    IdleTimeout,
}

/// What the client gets when no other endpoint is tried.
#[derive(Debug)]
pub enum FinalResponse {
    Reply,
    /// An earlier 503 tells the client more than that other endpoints failed.
    EarlierReplyOr(Rejection),
    Rejection(Rejection),
}

impl AttemptOutcome {
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Reply(status) => status == StatusCode::SERVICE_UNAVAILABLE,
            Self::NotConnected
            | Self::ConnectTimeout
            | Self::ConnectionLost
            | Self::InvalidReply => true,
            Self::IdleTimeout => false,
        }
    }

    pub fn final_response(self) -> FinalResponse {
        match self {
            Self::Reply(StatusCode::UNAUTHORIZED) => {
                FinalResponse::Rejection(Rejection::UpstreamUnauthorized)
            }
            Self::Reply(_) => FinalResponse::Reply,
            Self::NotConnected | Self::ConnectionLost | Self::InvalidReply => {
                FinalResponse::EarlierReplyOr(Rejection::UpstreamFailed)
            }
            Self::ConnectTimeout | Self::IdleTimeout => {
                FinalResponse::Rejection(Rejection::UpstreamTimeout)
            }
        }
    }

    /// Whether the request may have reached the endpoint.
    pub fn is_sent(self) -> bool {
        !matches!(self, Self::NotConnected | Self::ConnectTimeout)
    }

    /// Whether the endpoint's health counts a success.
    pub fn is_healthy(self) -> bool {
        matches!(self, Self::Reply(_))
    }
}

impl From<&UpstreamError> for AttemptOutcome {
    fn from(error: &UpstreamError) -> Self {
        match error {
            UpstreamError::Resolve(_) | UpstreamError::Connect(_) => Self::NotConnected,
            UpstreamError::ConnectTimeout => Self::ConnectTimeout,
            UpstreamError::ConnectionLost(_) => Self::ConnectionLost,
            UpstreamError::IdleTimeout => Self::IdleTimeout,
            UpstreamError::InvalidReply => Self::InvalidReply,
        }
    }
}

/// Whether to ask the same endpoint again on a fresh connection: a pooled one may have been closed
/// meanwhile, which is neither an attempt nor a failure of the endpoint.
pub fn needs_fresh_connection(error: &UpstreamError, may_be_stale: bool) -> bool {
    may_be_stale && matches!(error, UpstreamError::ConnectionLost(_) | UpstreamError::InvalidReply)
}

#[cfg(test)]
mod tests;
