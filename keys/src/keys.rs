//! What is stored of all keys, as one versioned document; pure.

use crate::{Minted, NewKey, StoredKey, stored_key::client_id};
use jiff::Timestamp;
use llm_contract::{Chain, InvalidKeyRecord, KeyId, KeyRecord};
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, time::Duration};

/// The document: all keys that were ever made, in that order.
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

/// Why a text is not such a document.
#[derive(Debug, thiserror::Error)]
pub enum InvalidKeys {
    /// Larger than any store should be.
    #[error("it has more than {} bytes", Keys::BYTES_MAX)]
    TooLarge,
    /// Not JSON, or not of the schema; names line and column.
    #[error("{}", Chain(.0))]
    Syntax(serde_json::Error),
    /// Written by another version of this program.
    #[error("`version` is {found}; this program reads version {}", Keys::VERSION)]
    Version {
        /// What the document says.
        found: u32,
    },
    /// Which of the two would be meant?
    #[error("key {id} is there twice")]
    Twice {
        /// The id that is there twice.
        id: KeyId,
    },
    /// The proxy would refuse it.
    #[error("key {id}")]
    Record {
        /// Its public part.
        id: KeyId,
        /// What is wrong with it.
        source: InvalidKeyRecord,
    },
}

/// Why keys stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// See [`Keys::KEYS_MAX`].
    #[error("the store is full: it holds at most {} keys, revoked ones included", Keys::KEYS_MAX)]
    Full,
    /// See [`Keys::NAME_CHARACTERS_MAX`].
    #[error(
        "a name has 1 to {} characters, none of them control characters",
        Keys::NAME_CHARACTERS_MAX
    )]
    Name,
    /// A key without models could be used for nothing.
    #[error("a key needs 1 to {} models; `*` stands for all", Keys::MODELS_MAX)]
    Models,
    /// See [`Keys::GROUPS_MAX`].
    #[error("an owner has at most {} groups", Keys::GROUPS_MAX)]
    Groups,
    /// It would be refused from the beginning.
    #[error("the time at which the key expires is over, or before the time from which it is valid")]
    Expiry,
    /// Nothing would ever pass.
    #[error("`concurrency` must be at least 1")]
    Concurrency,
    /// See [`Keys::OVERLAP_MAX`].
    #[error("the overlap is at most {} days", Keys::OVERLAP_MAX.as_secs() / 86_400)]
    Overlap,
    /// The randomness repeated itself; trying again helps.
    #[error("key {0} is there already; try again")]
    IdTaken(KeyId),
    /// No such key.
    #[error("there is no key {0}")]
    Unknown(KeyId),
    /// Nothing brings it back.
    #[error("key {0} is revoked; create a new one")]
    Revoked(KeyId),
    /// Its holder must not get a fresh one in its place.
    #[error("key {0} is suspended; resume it first")]
    Suspended(KeyId),
    /// Nobody needs to overlap with it.
    #[error("key {0} is not valid yet; revoke it and create a new one")]
    NotYetValid(KeyId),
    /// There is nothing left to overlap with.
    #[error("key {0} is expired; create a new one")]
    Expired(KeyId),
    /// A chain of keys has one end.
    #[error(
        "key {id} was already replaced by {by}; rotate that one, or create a new one if it is gone"
    )]
    Replaced {
        /// The key that was to be rotated.
        id: KeyId,
        /// The one that came from its rotation.
        by: KeyId,
    },
}

impl Keys {
    /// The version of the document that is read and written.
    pub const VERSION: u32 = 1;
    /// The most keys a document holds, revoked ones included.
    pub const KEYS_MAX: usize = 100_000;
    /// The largest document, in bytes: [`Self::KEYS_MAX`] keys of 2.5 KiB.
    pub const BYTES_MAX: usize = 256 * 1024 * 1024;
    /// The longest name, in characters.
    pub const NAME_CHARACTERS_MAX: usize = 200;
    /// The most patterns a key has.
    pub const MODELS_MAX: usize = 1000;
    /// The most groups an owner has.
    pub const GROUPS_MAX: usize = 1000;
    /// How long a rotated key may stay valid.
    pub const OVERLAP_MAX: Duration = Duration::from_secs(90 * 86_400);

    /// Reads a document.
    ///
    /// # Errors
    /// [`InvalidKeys`] naming the line or the key.
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
                return Err(InvalidKeys::Twice { id });
            }
            key.document().check().map_err(|source| InvalidKeys::Record { id, source })?;
        }
        Ok(Self(keys))
    }

    /// The document as JSON, for people to read too.
    ///
    /// # Errors
    /// None that these types can cause.
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

    /// What the proxy has to know: all keys but the revoked ones.
    pub fn documents(&self) -> Vec<KeyRecord> {
        let kept = self.0.iter().filter(|key| key.revoked_at.is_none());
        kept.map(StoredKey::document).collect()
    }

    /// Adds a key.
    ///
    /// # Errors
    /// [`KeysError`] naming the limit; nothing is added then.
    pub fn create(
        &mut self,
        new: NewKey,
        minted: &Minted,
        now: Timestamp,
    ) -> Result<StoredKey, KeysError> {
        new.check(now)?;
        self.add(new, minted, now, None)
    }

    /// Refuses a key for good. Revoking it again changes nothing.
    ///
    /// # Errors
    /// [`KeysError::Unknown`].
    pub fn revoke(&mut self, id: KeyId, now: Timestamp) -> Result<StoredKey, KeysError> {
        let key = self.find(id)?;
        key.revoked_at.get_or_insert(now);
        Ok(key.clone())
    }

    /// Refuses a key until it is resumed.
    ///
    /// # Errors
    /// [`KeysError::Unknown`], [`KeysError::Revoked`].
    pub fn suspend(&mut self, id: KeyId) -> Result<StoredKey, KeysError> {
        let key = self.find_in_use(id)?;
        key.suspended = true;
        Ok(key.clone())
    }

    /// Takes a suspension back.
    ///
    /// # Errors
    /// [`KeysError::Unknown`], [`KeysError::Revoked`].
    pub fn resume(&mut self, id: KeyId) -> Result<StoredKey, KeysError> {
        let key = self.find_in_use(id)?;
        key.suspended = false;
        Ok(key.clone())
    }

    /// Adds a key in place of another, which stays valid for `overlap`, or less if it expires
    /// before. The new one has the same name, owner, models and limits, and lives as long as the
    /// old one was meant to, counted from now.
    ///
    /// # Errors
    /// [`KeysError`] saying why; nothing is changed then.
    pub fn rotate(
        &mut self,
        id: KeyId,
        overlap: Duration,
        minted: &Minted,
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
            limits: old.limits,
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
        minted: &Minted,
        now: Timestamp,
        replaces: Option<KeyId>,
    ) -> Result<StoredKey, KeysError> {
        if Self::KEYS_MAX <= self.0.len() {
            return Err(KeysError::Full);
        }
        let id = minted.key.id();
        if self.0.iter().any(|key| key.id == id) {
            return Err(KeysError::IdTaken(id));
        }
        let NewKey { name, owner, models, not_before, expires_at, limits } = new;
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
            limits,
        };
        self.0.push(key.clone());
        Ok(key)
    }

    fn find(&mut self, id: KeyId) -> Result<&mut StoredKey, KeysError> {
        self.0.iter_mut().find(|key| key.id == id).ok_or(KeysError::Unknown(id))
    }

    fn find_in_use(&mut self, id: KeyId) -> Result<&mut StoredKey, KeysError> {
        let key = self.find(id)?;
        if key.revoked_at.is_some() { Err(KeysError::Revoked(id)) } else { Ok(key) }
    }
}

#[cfg(test)]
mod tests;
