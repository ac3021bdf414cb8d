//! Authenticates a request: an API key on the external entry, an OIDC token on the internal.

use super::accept::Entry;
use crate::{
    auth::{
        key_verifier::{KeyEntry, KeyVerifier, VerifyError},
        oidc::{Issuers, VerifiedClaims},
    },
    response::rejection::Rejection,
    tables::Snapshot,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use llm_contract::{Entries, KeyId, KeyState, SecretKey};
use ring::digest;
use std::{fmt::Write, sync::Arc};

/// The authenticated caller.
#[derive(Clone, Debug)]
pub enum Principal {
    Key(Arc<KeyEntry>),
    Token(Arc<VerifiedClaims>),
}

pub struct Authenticator {
    pub key_verifier: KeyVerifier,
    pub issuers: Issuers,
}

/// The longest client id made from a token, in bytes.
const CLIENT_ID_BYTES_MAX: usize = 128;
/// How much of a digest replaces the end of a longer client id, in bytes.
const DIGEST_BYTES: usize = 16;

impl Authenticator {
    /// Verifies the kind of credential that this entry accepts. Every invalid one is the same
    /// [`Rejection::Unauthenticated`].
    pub async fn principal(
        &self,
        entry: Entry,
        headers: &HeaderMap,
        tables: &Snapshot,
        now: Timestamp,
    ) -> Result<Principal, Rejection> {
        let credential = credential(headers).ok_or(Rejection::Unauthenticated)?;
        if !tables.is_loaded {
            return Err(Rejection::NotReady);
        }
        match entry {
            Entry::External => self.by_key(credential, tables, now).await.map(Principal::Key),
            Entry::Internal => self.by_token(credential, now).await.map(Principal::Token),
        }
    }

    async fn by_key(
        &self,
        credential: &str,
        tables: &Snapshot,
        now: Timestamp,
    ) -> Result<Arc<KeyEntry>, Rejection> {
        let Ok(key) = SecretKey::parse(credential) else {
            return Err(Rejection::Unauthenticated);
        };
        let entry = active_key(tables, &key.id(), now).map_err(|error| {
            tracing::debug!(reason = %error, "API key rejected");
            error.rejection()
        })?;
        match self.key_verifier.verify(&key, entry).await {
            Ok(()) => {
                self.key_verifier.record_key_use(entry, now);
                Ok(Arc::clone(entry))
            }
            Err(VerifyError::WrongKey) => Err(Rejection::Unauthenticated),
            Err(VerifyError::Busy) => Err(Rejection::Overloaded),
        }
    }

    async fn by_token(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Arc<VerifiedClaims>, Rejection> {
        self.issuers.authenticate(token, now.into()).await.map_err(|error| {
            tracing::debug!(%error, "token rejected");
            if error.is_temporary() {
                Rejection::IssuerUnavailable
            } else {
                Rejection::Unauthenticated
            }
        })
    }
}

/// Why an id is not that of an active key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("no table is in force yet")]
    NotReady,
    #[error("no key of this id is in force here")]
    Unknown,
    #[error("the key is not valid yet")]
    NotYetValid,
    #[error("the key has expired")]
    Expired,
    #[error("the key is suspended")]
    Suspended,
}

impl KeyError {
    pub fn rejection(&self) -> Rejection {
        match self {
            Self::NotReady => Rejection::NotReady,
            Self::Unknown | Self::NotYetValid | Self::Expired | Self::Suspended => {
                Rejection::Unauthenticated
            }
        }
    }
}

/// The active key of an id.
pub fn active_key<'a>(
    tables: &'a Snapshot,
    id: &KeyId,
    now: Timestamp,
) -> Result<&'a Arc<KeyEntry>, KeyError> {
    if !tables.is_loaded {
        return Err(KeyError::NotReady);
    }
    let entry = tables.keys.get(id).ok_or(KeyError::Unknown)?;
    match entry.record.state(now) {
        KeyState::Active => Ok(entry),
        KeyState::NotYetValid => Err(KeyError::NotYetValid),
        KeyState::Expired => Err(KeyError::Expired),
        KeyState::Suspended => Err(KeyError::Suspended),
    }
}

const API_KEY: HeaderName = HeaderName::from_static("api-key");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The credential presented: `Authorization: Bearer`, else `x-api-key`, else `api-key`. A repeated
/// header presents nothing: which of the two counts is ambiguous.
pub fn credential(headers: &HeaderMap) -> Option<&str> {
    let one = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?;
        if values.next().is_some() { None } else { value.to_str().ok() }
    };
    if headers.contains_key(header::AUTHORIZATION)
        && let Some(token) = bearer(one(&header::AUTHORIZATION)?)
    {
        return Some(token);
    }
    [&X_API_KEY, &API_KEY].into_iter().find(|name| headers.contains_key(*name)).and_then(one)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

impl Principal {
    /// Whether a route is exposed at this principal's entry: keys are for the external one,
    /// tokens for the internal one.
    pub fn sees(&self, entries: Entries) -> bool {
        match self {
            Self::Key(_) => entries.external,
            Self::Token(_) => entries.internal,
        }
    }

    /// The `X-Client-ID` that upstreams see.
    pub fn client_id(&self) -> HeaderValue {
        let id = match self {
            Self::Key(entry) => HeaderValue::from_str(&entry.record.client_id),
            Self::Token(verified) => HeaderValue::from_str(&sanitized(verified.username())),
        };
        // Both are visible ASCII by construction.
        id.unwrap_or(HeaderValue::from_static("-"))
    }

    /// The key's public part, for logs and usage.
    pub fn key_id(&self) -> Option<&str> {
        match self {
            Self::Key(entry) => Some(entry.record.id.as_str()),
            Self::Token(_) => None,
        }
    }

    /// The name of the owner or user, for logs and usage.
    pub fn name(&self) -> &str {
        match self {
            Self::Key(entry) => &entry.record.owner.name,
            Self::Token(verified) => verified.username(),
        }
    }

    pub fn is_member(&self, group: &str) -> bool {
        match self {
            Self::Key(entry) => entry.record.owner.groups.iter().any(|it| it.as_str() == group),
            Self::Token(verified) => verified.groups().iter().any(|it| &**it == group),
        }
    }

    /// Unique to the caller: the key, or the user of an issuer.
    pub fn identity(&self) -> String {
        match self {
            Self::Key(entry) => format!("key {}", entry.record.id),
            Self::Token(verified) => format!("{} {}", verified.issuer(), verified.subject()),
        }
    }
}

/// A user's name as a header value, percent-encoded and cut so that two users never become one.
fn sanitized(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.@+".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    if CLIENT_ID_BYTES_MAX < text.len() {
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        text.truncate(CLIENT_ID_BYTES_MAX - 1 - 2 * DIGEST_BYTES);
        text.push('-');
        for byte in digest.as_ref().iter().take(DIGEST_BYTES) {
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_credential_is_found_in_each_of_its_three_places() {
        for (lines, found) in [
            (&[("authorization", "Bearer sk-1")][..], Some("sk-1")),
            (&[("authorization", "bearer   sk-1")], Some("sk-1")),
            (&[("x-api-key", "sk-1")], Some("sk-1")),
            (&[("api-key", "sk-1")], Some("sk-1")),
            (&[("authorization", "Bearer sk-1"), ("x-api-key", "sk-2")], Some("sk-1")),
            (&[("authorization", "Basic abc"), ("x-api-key", "sk-2")], Some("sk-2")),
            (&[("authorization", "Basic abc")], None),
            (&[("authorization", "Bearer ")], None),
            (&[("authorization", "sk-1")], None),
            (&[], None),
        ] {
            assert_eq!(credential(&headers(lines)), found, "{lines:?}");
        }
    }

    #[test]
    fn a_repeated_header_presents_no_credential() {
        for name in ["authorization", "x-api-key", "api-key"] {
            let value = if name == "authorization" { "Bearer sk-1" } else { "sk-1" };
            assert_eq!(credential(&headers(&[(name, value), (name, value)])), None, "{name}");
        }
    }

    #[test]
    fn two_users_never_become_one_client_id() {
        assert_eq!(sanitized("alice@example.com"), "alice@example.com");
        assert_ne!(sanitized("alice smith"), sanitized("alice_smith"));
        assert_eq!(sanitized("a%20b"), "a%2520b");
        assert_eq!(sanitized("alicé"), "alic%C3%A9");
        let long = "a".repeat(200);
        assert_eq!(sanitized(&long).len(), CLIENT_ID_BYTES_MAX);
        assert_ne!(sanitized(&long), sanitized(&format!("{long}b")));
    }
}
