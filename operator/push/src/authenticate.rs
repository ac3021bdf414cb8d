//! Authentication of proxies, implemented by the program that serves the push.

use jiff::Timestamp;
use llm_contract::Secret;
use std::sync::Arc;

/// Authenticates tokens; in a cluster, with a `TokenReview`.
#[tonic::async_trait]
pub trait Authenticate: Send + Sync + 'static {
    async fn authenticate(&self, token: &Secret) -> Result<Peer, AuthenticateError>;
}

/// An authenticated client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub identity: PeerIdentity,
    /// Of the token; the stream ends then.
    pub expires_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerIdentity {
    /// One proxy, under this name whatever it calls itself.
    Proxy(Arc<str>),
    /// An account that several proxies may share, each under the name it calls itself.
    Account(Arc<str>),
}

impl PeerIdentity {
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Proxy(name) | Self::Account(name) => name,
        }
    }
}

/// Why a stream is refused. The client is sent the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticateError {
    #[error("the token is not accepted: {reason}")]
    Unauthenticated { reason: String },
    #[error("{reason}")]
    Forbidden { reason: String },
    #[error("the token cannot be checked: {reason}; connect again later")]
    Unavailable { reason: String },
}

impl From<AuthenticateError> for tonic::Status {
    fn from(error: AuthenticateError) -> Self {
        let message = error.to_string();
        match error {
            AuthenticateError::Unauthenticated { .. } => Self::unauthenticated(message),
            AuthenticateError::Forbidden { .. } => Self::permission_denied(message),
            AuthenticateError::Unavailable { .. } => Self::unavailable(message),
        }
    }
}

/// Parses an `authorization` header.
pub(crate) fn bearer(header: Option<&str>) -> Result<Secret, AuthenticateError> {
    const MISSING: &str = "none was sent; `authorization: Bearer TOKEN` is required";
    let token = header.and_then(|header| {
        let (scheme, token) = header.split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Secret::new(token))
    });
    token.ok_or_else(|| AuthenticateError::Unauthenticated { reason: MISSING.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_case_insensitive() {
        for (header, token) in [
            (Some("Bearer t1"), Some("t1")),
            (Some("bearer t1"), Some("t1")),
            (Some("Basic t1"), None),
            (Some("Bearer "), None),
            (Some("t1"), None),
            (None, None),
        ] {
            let found = bearer(header).ok();
            assert_eq!(found.as_ref().map(Secret::reveal), token, "{header:?}");
        }
    }
}
