//! Who connects: whoever serves the push says whose a token is.

use jiff::Timestamp;
use llm_contract::Secret;
use std::sync::Arc;

/// Says whose a token is; in a cluster, by asking the API server.
#[tonic::async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// Whose the token is, if they may follow.
    async fn authenticate(&self, token: &Secret) -> Result<Peer, Denied>;
}

/// Who may follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Whose the token is.
    pub who: Who,
    /// When the token no longer counts; the stream ends then.
    pub expires_at: Timestamp,
}

/// Whose a token is, by a name for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// One proxy's and no other's: it goes by this name, whatever it calls itself.
    Proxy(Arc<str>),
    /// An account's, which several proxies may share: each goes by what it calls itself.
    Account(Arc<str>),
}

impl Who {
    /// The name.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Proxy(name) | Self::Account(name) => name,
        }
    }
}

/// Why somebody may not follow. Reasons are for people, and go to whoever presented the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody's token, an expired one, or one for another audience.
    #[error("the token is not accepted: {reason}")]
    Unauthenticated {
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody else's.
    #[error("{reason}")]
    Forbidden {
        /// Who it is, and who may.
        reason: String,
    },
    /// It cannot be said now.
    #[error("the token cannot be checked: {reason}; connect again later")]
    Unavailable {
        /// What failed.
        reason: String,
    },
}

impl From<Denied> for tonic::Status {
    fn from(denied: Denied) -> Self {
        let message = denied.to_string();
        match denied {
            Denied::Unauthenticated { .. } => Self::unauthenticated(message),
            Denied::Forbidden { .. } => Self::permission_denied(message),
            Denied::Unavailable { .. } => Self::unavailable(message),
        }
    }
}

/// The token of a request.
pub(crate) fn bearer(header: Option<&str>) -> Result<Secret, Denied> {
    const NONE: &str = "none was sent; `authorization: Bearer TOKEN` is wanted";
    let token = header.and_then(|header| {
        let (scheme, token) = header.split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Secret::new(token))
    });
    token.ok_or_else(|| Denied::Unauthenticated { reason: NONE.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_read_without_regard_to_case() {
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
