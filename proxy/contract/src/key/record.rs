//! The record of a key, as proxies verify it.

use crate::{Group, KeyHash, KeyId, ModelPattern, RequestLimits, ResourceName, ResourcePattern};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A key without its secret.
///
/// Validated by [`Table::parse`](crate::Table::parse) and [`Resource::parse`](crate::push::Resource::parse).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KeyRecord {
    /// The public id.
    pub id: KeyId,
    /// `X-Client-ID` of upstream requests: 1 to 128 visible ASCII characters.
    pub client_id: String,
    /// The person, team or service.
    pub owner: Owner,
    /// The hash of the secret, as a PHC string.
    pub hash: KeyHash,
    /// Models it may use, if the owner may: ids, prefixes, or `*`; none if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelPattern>,
    /// Custom resources whose models it may use as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourcePattern>,
    /// Invalid before this time (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Invalid from this time on (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Temporarily invalid.
    #[serde(default)]
    pub suspended: bool,
    /// Limits of all requests with this key.
    #[serde(default)]
    pub limits: RequestLimits,
}

/// The person, team or service behind a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Owner {
    /// The name in logs and usage.
    pub name: String,
    /// Current group memberships.
    #[serde(default)]
    pub groups: Vec<Group>,
}

/// Whether a key is valid at a given time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Valid.
    Active,
    /// Before `not_before`.
    NotYetValid,
    /// From `expires_at` on.
    Expired,
    /// Suspended by an administrator.
    Suspended,
}

/// Why a key record is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyRecord {
    /// The client id cannot be a header value.
    #[error(
        "`clientId` must have 1 to {} visible ASCII characters",
        KeyRecord::CLIENT_ID_BYTES_MAX
    )]
    ClientId,
    /// A limit of zero.
    #[error("`limits.concurrency` must be at least 1")]
    Limits,
}

impl KeyRecord {
    /// The longest client id, in bytes.
    pub const CLIENT_ID_BYTES_MAX: usize = 128;

    /// Checks the fields that serde does not.
    ///
    /// # Errors
    /// [`InvalidKeyRecord`] names the field.
    pub fn check(self) -> Result<Self, InvalidKeyRecord> {
        let visible = self.client_id.bytes().all(|byte| byte.is_ascii_graphic());
        if !(1..=Self::CLIENT_ID_BYTES_MAX).contains(&self.client_id.len()) || !visible {
            return Err(InvalidKeyRecord::ClientId);
        }
        self.limits.check().map_err(|_zero| InvalidKeyRecord::Limits)?;
        Ok(self)
    }

    /// The state of the key at this time.
    ///
    /// ```
    /// # use llm_contract::*;
    /// # let key = SecretKey::assemble(&KeyId::parse("abcdefgh2345").unwrap(), &[b'x'; 43]);
    /// # let hash = KeyHash::of(&key, Hashing::MINTED, [7; 16], None).unwrap();
    /// let text = format!(r#"{{"id": "abcdefgh2345", "clientId": "laptop", "hash": "{hash}",
    ///     "owner": {{"name": "me"}}, "models": ["*"], "expiresAt": "2030-01-01T00:00:00Z"}}"#);
    /// let record: KeyRecord = serde_json::from_str(&text).unwrap();
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

    /// Whether the key's scope includes this model of this custom resource.
    pub fn covers(&self, model: &str, resource: Option<&ResourceName>) -> bool {
        self.models.iter().any(|pattern| pattern.matches(model))
            || resource.is_some_and(|name| self.resources.iter().any(|it| it.matches(name)))
    }
}
