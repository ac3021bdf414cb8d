//! One key as it is stored, and the request for a new one; pure.

use crate::{
    error::{GROUPS_MAX, KeysError, MODELS_MAX, NAME_CHARACTERS_MAX},
    validity::{StoredKeyState, Validity},
};
use jiff::Timestamp;
use llm_contract::{
    Group, KeyHash, KeyId, KeyRecord, ModelPattern, Owner, RequestLimits, SecretKey,
};
use serde::{Deserialize, Serialize};

/// A key in the file of a [`crate::FileStore`]: its hash, never the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StoredKey {
    pub id: KeyId,
    pub name: String,
    /// The unique name that upstreams see as `X-Client-ID`.
    pub client_id: String,
    pub owner: Owner,
    pub hash: KeyHash,
    pub models: Vec<ModelPattern>,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Refused from this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(default)]
    pub suspended: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// The key whose rotation made this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<KeyId>,
    #[serde(default)]
    pub limits: RequestLimits,
}

/// A request for a new key. Each store has its own terms for owners and models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey<O = Owner, Model = ModelPattern> {
    /// 1 to [`NAME_CHARACTERS_MAX`] characters.
    pub name: String,
    pub owner: O,
    /// At least one.
    pub models: Vec<Model>,
    pub not_before: Option<Timestamp>,
    /// In the future.
    pub expires_at: Option<Timestamp>,
    /// Concurrent requests; unlimited if `None`.
    pub concurrency: Option<u32>,
}

impl<Owner, Model> NewKey<Owner, Model> {
    pub(crate) fn check(
        &self,
        owner_name: &str,
        owner_groups: &[Group],
        now: Timestamp,
    ) -> Result<(), KeysError> {
        let Self { name, owner: _, models, not_before, expires_at, concurrency } = self;
        check_name(name)?;
        check_name(owner_name)?;
        if models.is_empty() || MODELS_MAX < models.len() {
            return Err(KeysError::Models);
        }
        if GROUPS_MAX < owner_groups.len() {
            return Err(KeysError::Groups);
        }
        let start = not_before.map_or(now, |start| start.max(now));
        if expires_at.is_some_and(|end| end <= start) {
            return Err(KeysError::Expiry);
        }
        if *concurrency == Some(0) {
            return Err(KeysError::Concurrency);
        }
        Ok(())
    }
}

impl StoredKey {
    pub fn state(&self, now: Timestamp) -> StoredKeyState {
        self.validity().state(now)
    }

    pub(crate) fn validity(&self) -> Validity {
        Validity {
            created_at: self.created_at,
            not_before: self.not_before,
            expires_at: self.expires_at,
            suspended: self.suspended,
            revoked: self.revoked_at.is_some(),
        }
    }

    /// The key as the proxy reads it.
    pub(crate) fn document(&self) -> KeyRecord {
        KeyRecord {
            id: self.id,
            client_id: self.client_id.clone(),
            owner: self.owner.clone(),
            hash: self.hash.clone(),
            models: self.models.clone(),
            resources: Vec::new(),
            not_before: self.not_before,
            expires_at: self.expires_at,
            suspended: self.suspended,
            limits: self.limits,
        }
    }
}

fn check_name(name: &str) -> Result<(), KeysError> {
    let characters = name.chars().count();
    let fits = (1..=NAME_CHARACTERS_MAX).contains(&characters);
    if fits && !name.chars().any(char::is_control) { Ok(()) } else { Err(KeysError::Name) }
}

/// `<owner>-<key id>`: tells people whose key it is, and is unique. Characters that a header may
/// not hold become `-`.
pub(crate) fn client_id(owner: &str, key: &SecretKey) -> String {
    const OWNER_BYTES_MAX: usize = KeyRecord::CLIENT_ID_BYTES_MAX - KeyId::BYTES - 1;
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let owner: String = owner.chars().map(plain).take(OWNER_BYTES_MAX).collect();
    match owner.trim_matches('-') {
        "" => format!("key-{}", key.id()),
        owner => format!("{owner}-{}", key.id()),
    }
}
