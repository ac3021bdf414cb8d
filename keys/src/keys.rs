//! All keys of a file, as one versioned document; pure.

use crate::{
    error::{KEYS_MAX, KeysError},
    mint::MintedKey,
    stored_key::{NewKey, StoredKey, client_id},
};
use jiff::Timestamp;
use llm_contract::{Chain, InvalidKeyRecord, KeyId, KeyRecord, RequestLimits};
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, time::Duration};

/// All keys that were ever created, oldest first.
///
/// ```
/// let keys = llm_keys::Keys::parse(br#"{"version": 1, "keys": []}"#).unwrap();
/// assert!(keys.list().is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(Vec<StoredKey>);

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document<T> {
    version: u32,
    keys: T,
}

#[derive(Debug, thiserror::Error)]
pub enum InvalidKeys {
    #[error("it has more than {} bytes", Keys::BYTES_MAX)]
    TooLarge,
    /// Names line and column.
    #[error("{}", Chain(.0))]
    Syntax(serde_json::Error),
    #[error("`version` is {found}; this program reads version {}", Keys::VERSION)]
    Version { found: u32 },
    #[error("key {id} occurs twice")]
    Duplicate { id: KeyId },
    /// The proxy would refuse it.
    #[error("key {id}")]
    Record { id: KeyId, source: InvalidKeyRecord },
}

impl Keys {
    pub const VERSION: u32 = 1;
    /// The largest document, in bytes: [`KEYS_MAX`] keys of 2.5 KiB.
    pub const BYTES_MAX: usize = 256 * 1024 * 1024;

    pub fn parse(text: &[u8]) -> Result<Self, InvalidKeys> {
        if Self::BYTES_MAX < text.len() {
            return Err(InvalidKeys::TooLarge);
        }
        // The version comes first: another version may have other fields.
        let Version { version } = serde_json::from_slice(text).map_err(InvalidKeys::Syntax)?;
        if version != Self::VERSION {
            return Err(InvalidKeys::Version { found: version });
        }
        let Document { keys, .. }: Document<Vec<StoredKey>> =
            serde_json::from_slice(text).map_err(InvalidKeys::Syntax)?;
        let mut seen = HashSet::with_capacity(keys.len());
        for key in &keys {
            let id = key.id;
            if !seen.insert(id) {
                return Err(InvalidKeys::Duplicate { id });
            }
            key.document().check().map_err(|source| InvalidKeys::Record { id, source })?;
        }
        Ok(Self(keys))
    }

    /// The document as indented JSON, so that people can read it too.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text =
            serde_json::to_vec_pretty(&Document { version: Self::VERSION, keys: &self.0 })?;
        text.push(b'\n');
        Ok(text)
    }

    /// All keys, oldest first.
    pub fn list(&self) -> &[StoredKey] {
        &self.0
    }

    /// The keys as the proxy reads them, without the revoked ones.
    pub fn documents(&self) -> Vec<KeyRecord> {
        let kept = self.0.iter().filter(|key| key.revoked_at.is_none());
        kept.map(StoredKey::document).collect()
    }

    pub fn create(
        &mut self,
        new: NewKey,
        minted: &MintedKey,
        now: Timestamp,
    ) -> Result<StoredKey, KeysError> {
        new.check(&new.owner.name, &new.owner.groups, now)?;
        self.add(new, minted, now, None)
    }

    /// Revokes a key for good. Revoking it again changes nothing.
    pub fn revoke(&mut self, id: KeyId, now: Timestamp) -> Result<StoredKey, KeysError> {
        let key = self.find(id)?;
        key.revoked_at.get_or_insert(now);
        Ok(key.clone())
    }

    pub fn suspend(&mut self, id: KeyId) -> Result<StoredKey, KeysError> {
        let key = self.find_unrevoked(id)?;
        key.suspended = true;
        Ok(key.clone())
    }

    pub fn resume(&mut self, id: KeyId) -> Result<StoredKey, KeysError> {
        let key = self.find_unrevoked(id)?;
        key.suspended = false;
        Ok(key.clone())
    }

    /// Creates a key in place of another, which stays valid for `overlap`, or less if it expires
    /// sooner. The new key has the same name, owner, models, limits and lifetime.
    pub fn rotate(
        &mut self,
        id: KeyId,
        overlap: Duration,
        minted: &MintedKey,
        now: Timestamp,
    ) -> Result<StoredKey, KeysError> {
        if let Some(next) = self.0.iter().find(|key| key.replaces == Some(id)) {
            return Err(KeysError::Replaced { id, by: next.id });
        }
        let old = self.find(id)?;
        let rotation = old.validity().rotate(id, overlap, now)?;
        let new = NewKey {
            name: old.name.clone(),
            owner: old.owner.clone(),
            models: old.models.clone(),
            not_before: None,
            expires_at: rotation.expires_at,
            concurrency: old.limits.concurrency,
        };
        let added = self.add(new, minted, now, Some(id))?;
        let old = self.find(id)?;
        let end = rotation.overlap_until;
        old.expires_at = Some(old.expires_at.map_or(end, |before| before.min(end)));
        Ok(added)
    }

    fn add(
        &mut self,
        new: NewKey,
        minted: &MintedKey,
        now: Timestamp,
        replaces: Option<KeyId>,
    ) -> Result<StoredKey, KeysError> {
        if KEYS_MAX <= self.0.len() {
            return Err(KeysError::Full);
        }
        let id = minted.key.id();
        if self.0.iter().any(|key| key.id == id) {
            return Err(KeysError::IdTaken(id));
        }
        let NewKey { name, owner, models, not_before, expires_at, concurrency } = new;
        let key = StoredKey {
            id,
            client_id: client_id(&owner.name, &minted.key),
            name,
            owner,
            hash: minted.hash.clone(),
            models,
            created_at: now,
            not_before,
            expires_at,
            suspended: false,
            revoked_at: None,
            replaces,
            limits: RequestLimits { concurrency },
        };
        self.0.push(key.clone());
        Ok(key)
    }

    fn find(&mut self, id: KeyId) -> Result<&mut StoredKey, KeysError> {
        self.0.iter_mut().find(|key| key.id == id).ok_or(KeysError::Unknown(id))
    }

    fn find_unrevoked(&mut self, id: KeyId) -> Result<&mut StoredKey, KeysError> {
        let key = self.find(id)?;
        if key.revoked_at.is_some() { Err(KeysError::Revoked(id)) } else { Ok(key) }
    }
}

#[cfg(test)]
mod tests;
