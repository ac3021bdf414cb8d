//! What a proxy knows of a key.

use crate::{Group, KeyHash, KeyId, Limits, ModelPattern, ResourceName, ResourcePattern, document};
use jiff::Timestamp;
use std::sync::Arc;

/// A key as the proxies know it: never the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The public part.
    pub id: KeyId,
    /// What upstreams see as `X-Client-ID`: visible ASCII, at most 128 bytes.
    pub client_id: Arc<str>,
    /// Who is behind it.
    pub owner: Arc<Owner>,
    /// What the key in clear hashes to.
    pub hash: KeyHash,
    /// Which models it may ask for, within what the owner may; none if empty.
    pub models: Arc<[ModelPattern]>,
    /// Custom resources whose models it may ask for too.
    pub resources: Arc<[ResourcePattern]>,
    /// Refused before this time.
    pub not_before: Option<Timestamp>,
    /// Refused from this time on.
    pub expires_at: Option<Timestamp>,
    /// Refused until it is taken back.
    pub suspended: bool,
    /// How much it may take.
    pub limits: Limits,
}

/// The person, team or service behind a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The name in logs and usage.
    pub name: String,
    /// The groups they are in now.
    pub groups: Arc<[Group]>,
}

/// Whether a key is in force at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It is.
    Active,
    /// Its time has not come.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// Somebody suspended it.
    Suspended,
}

/// Why a key record is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyRecord {
    /// It becomes a header.
    #[error(
        "`clientId` must have 1 to {} visible ASCII characters",
        KeyRecord::CLIENT_ID_BYTES_MAX
    )]
    ClientId,
    /// Nothing would ever pass.
    #[error("`limits.concurrency` must be at least 1")]
    Limits,
}

impl KeyRecord {
    /// The longest client id, in bytes.
    pub const CLIENT_ID_BYTES_MAX: usize = 128;

    /// Whether the key is in force at this moment.
    ///
    /// ```
    /// # use llm_contract::*;
    /// # let key = SecretKey::assemble(&KeyId::parse("abcdefgh2345").unwrap(), &[b'x'; 43]);
    /// # let hash = KeyHash::of(&key, Hashing::MINTED, [7; 16], None).unwrap();
    /// let text = format!(r#"{{"id": "abcdefgh2345", "clientId": "laptop", "hash": "{hash}",
    ///     "owner": {{"name": "me"}}, "models": ["*"], "expiresAt": "2030-01-01T00:00:00Z"}}"#);
    /// let record: document::Key = serde_json::from_str(&text).unwrap();
    /// let record = KeyRecord::try_from(record).unwrap();
    /// assert_eq!(record.state("2029-12-31T23:59:59Z".parse().unwrap()), KeyState::Active);
    /// assert_eq!(record.state("2030-01-01T00:00:00Z".parse().unwrap()), KeyState::Expired);
    /// ```
    pub fn state(&self, now: Timestamp) -> KeyState {
        if self.suspended {
            return KeyState::Suspended;
        }
        if self.not_before.is_some_and(|start| now < start) {
            return KeyState::NotYetValid;
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return KeyState::Expired;
        }
        KeyState::Active
    }

    /// Whether the key's own scope holds this model, which that custom resource declares, if any.
    pub fn covers(&self, model: &str, resource: Option<&ResourceName>) -> bool {
        self.models.iter().any(|pattern| pattern.matches(model))
            || resource.is_some_and(|name| self.resources.iter().any(|it| it.matches(name)))
    }
}

impl TryFrom<document::Key> for KeyRecord {
    type Error = InvalidKeyRecord;

    fn try_from(document: document::Key) -> Result<Self, InvalidKeyRecord> {
        let document::Key {
            id,
            client_id,
            owner,
            hash,
            models,
            resources,
            not_before,
            expires_at,
            suspended,
            limits,
        } = document;
        let visible = client_id.bytes().all(|byte| byte.is_ascii_graphic());
        if client_id.is_empty() || Self::CLIENT_ID_BYTES_MAX < client_id.len() || !visible {
            return Err(InvalidKeyRecord::ClientId);
        }
        Ok(Self {
            id,
            client_id: client_id.into(),
            owner: Arc::new(Owner { name: owner.name, groups: owner.groups.into() }),
            hash,
            models: models.into(),
            resources: resources.into(),
            not_before,
            expires_at,
            suspended,
            limits: Limits::check(&limits).map_err(|_zero| InvalidKeyRecord::Limits)?,
        })
    }
}
