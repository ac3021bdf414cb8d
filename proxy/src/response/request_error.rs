//! Why a request stops before it is answered by an upstream.

use crate::response::rejection::Rejection;
use pingora_core::{Error, ErrorType};

/// Why a request stops.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// We refuse it, and say why.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The client went away, or does not speak HTTP.
    #[error("the client is gone")]
    Gone(#[source] Box<Error>),
}

impl Halt {
    /// What Pingora says when a client that should only wait does anything else.
    pub fn left<T>(idle: pingora_core::Result<T>) -> Self {
        Self::Gone(idle.err().unwrap_or_else(|| Error::new(ErrorType::ConnectionClosed)))
    }
}

impl From<Box<Error>> for Halt {
    fn from(error: Box<Error>) -> Self {
        Self::Gone(error)
    }
}
