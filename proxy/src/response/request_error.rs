//! Why a request ends without a reply from an upstream.

use super::rejection::Rejection;
use pingora_core::{Error, ErrorType};

#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The client disconnected, or does not speak HTTP.
    #[error("the client is gone")]
    ClientGone(#[source] Box<Error>),
}

impl RequestError {
    /// From reading an idle client: whatever it does but wait ends the request.
    pub fn client_gone<T>(idle: pingora_core::Result<T>) -> Self {
        Self::ClientGone(idle.err().unwrap_or_else(|| Error::new(ErrorType::ConnectionClosed)))
    }
}

impl From<Box<Error>> for RequestError {
    fn from(error: Box<Error>) -> Self {
        Self::ClientGone(error)
    }
}
