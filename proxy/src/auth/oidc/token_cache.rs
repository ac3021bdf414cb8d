//! Verified tokens, so that a repeated one costs a digest instead of a signature check.
//!
//! An entry is found by the SHA-256 of the token, never by the token. It holds its key weakly: when
//! the key leaves the issuer's set, or the issuer leaves the configuration, the entry is dead. So
//! nothing has to be swept, and a verification that was under way while the key went cannot bring
//! it back.

use super::{claims::VerifiedClaims, jwk::VerifyingKey};
use quick_cache::sync::Cache;
use ring::digest;
use std::sync::{Arc, Weak};

/// A bounded cache of verified tokens; seldom used ones make room.
#[derive(Debug)]
pub(super) struct TokenCache(Cache<TokenDigest, CachedToken>);

/// Names a token without being one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenDigest([u8; digest::SHA256_OUTPUT_LEN]);

#[derive(Clone, Debug)]
struct CachedToken {
    claims: Arc<VerifiedClaims>,
    key: Weak<VerifyingKey>,
}

impl TokenDigest {
    pub(super) fn of(token: &str) -> Self {
        let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
        let digest = digest::digest(&digest::SHA256, token.as_bytes());
        bytes.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }
}

impl TokenCache {
    pub(super) fn new(entries_max: usize) -> Self {
        Self(Cache::new(entries_max))
    }

    /// The claims of a token verified before, unless it expired by `now`, in seconds since 1970.
    pub(super) fn get(&self, digest: &TokenDigest, now: u64) -> Option<Arc<VerifiedClaims>> {
        let CachedToken { claims, key } = self.0.get(digest)?;
        (now < claims.expires_at() && key.strong_count() != 0).then_some(claims)
    }

    pub(super) fn insert(
        &self,
        digest: TokenDigest,
        claims: Arc<VerifiedClaims>,
        key: &Arc<VerifyingKey>,
    ) {
        self.0.insert(digest, CachedToken { claims, key: Arc::downgrade(key) });
    }
}

#[cfg(test)]
impl TokenCache {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
