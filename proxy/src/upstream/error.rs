//! Why an upstream gave no reply, or only part of one.

use super::address_policy::ResolveError;
use pingora_core::{Error, ErrorType};

#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error("connecting to the endpoint")]
    Connect(#[source] Box<Error>),
    #[error("connecting to the endpoint timed out")]
    ConnectTimeout,
    #[error("the connection to the endpoint was lost")]
    ConnectionLost(#[source] Box<Error>),
    /// Nothing could be read or written for `timeouts.idle`.
    #[error("the connection to the endpoint was idle for too long")]
    IdleTimeout,
    #[error("the endpoint's reply is not valid")]
    InvalidReply,
}

impl UpstreamError {
    /// An error of connecting: nothing was sent.
    pub(super) fn connecting(error: Box<Error>) -> Self {
        if matches!(error.etype(), ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout) {
            Self::ConnectTimeout
        } else {
            Self::Connect(error)
        }
    }
}

impl From<Box<Error>> for UpstreamError {
    fn from(error: Box<Error>) -> Self {
        if matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout) {
            Self::IdleTimeout
        } else if *error.etype() == ErrorType::InvalidHTTPHeader {
            // Its text holds the bytes received, which may repeat what we sent: a credential.
            Self::InvalidReply
        } else {
            Self::ConnectionLost(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm_contract::Chain;

    #[test]
    fn bytes_received_in_place_of_a_header_are_in_no_error() {
        let error = Error::explain(ErrorType::InvalidHTTPHeader, "buf: sk-theirs");
        assert!(!Chain(&UpstreamError::from(error)).to_string().contains("sk-theirs"));
    }
}
