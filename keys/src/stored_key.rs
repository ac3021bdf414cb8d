//! What is stored of one key, and what somebody may ask for when making one; pure.

use crate::{Keys, KeysError, State, Validity};
use jiff::Timestamp;
use llm_contract::{Group, KeyHash, KeyId, KeyRecord, ModelPattern, SecretKey, document};
use serde::{Deserialize, Serialize};

/// What is stored of one key: never the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StoredKey {
    /// The public part.
    pub id: KeyId,
    /// What its owner calls it: 1 to [`Keys::NAME_CHARACTERS_MAX`] characters.
    pub name: String,
    /// What upstreams see as `X-Client-ID`; no other key has it.
    pub client_id: String,
    /// Who is behind it.
    pub owner: StoredOwner,
    /// PHC string.
    pub hash: KeyHash,
    /// Which models it may ask for.
    pub models: Vec<ModelPattern>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Refused before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Refused from this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Refused until it is taken back.
    #[serde(default)]
    pub suspended: bool,
    /// Refused for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// The key whose rotation made this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<KeyId>,
    /// How much it may take.
    #[serde(default)]
    pub limits: StoredLimits,
}

/// The person, team or service behind a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StoredOwner {
    /// The name in logs and usage.
    pub name: String,
    /// The groups they are in.
    #[serde(default)]
    pub groups: Vec<Group>,
}

/// How much a key may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StoredLimits {
    /// Requests at a time; no limit if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

/// Who is behind a key, as far as a new one is checked; on one machine a [`StoredOwner`].
pub trait KeyOwner {
    /// The name in logs and usage.
    fn name(&self) -> String;
    /// The groups they are in.
    fn groups(&self) -> &[Group];
}

/// What a key is to be: its owner and models are said in the words of where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey<Owner = StoredOwner, Model = ModelPattern> {
    /// As [`StoredKey::name`].
    pub name: String,
    /// Who is behind it.
    pub owner: Owner,
    /// Which models it may ask for; at least one.
    pub models: Vec<Model>,
    /// Refused before this time.
    pub not_before: Option<Timestamp>,
    /// Refused from this time on; in the future.
    pub expires_at: Option<Timestamp>,
    /// How much it may take.
    pub limits: StoredLimits,
}

impl KeyOwner for StoredOwner {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn groups(&self) -> &[Group] {
        &self.groups
    }
}

impl<Owner: KeyOwner, Model> NewKey<Owner, Model> {
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), KeysError> {
        let Self { name, owner, models, not_before, expires_at, limits } = self;
        check_name(name)?;
        check_name(&owner.name())?;
        if models.is_empty() || Keys::MODELS_MAX < models.len() {
            return Err(KeysError::Models);
        }
        if Keys::GROUPS_MAX < owner.groups().len() {
            return Err(KeysError::Groups);
        }
        let start = not_before.map_or(now, |start| start.max(now));
        if expires_at.is_some_and(|end| end <= start) {
            return Err(KeysError::Expiry);
        }
        if limits.concurrency == Some(0) {
            return Err(KeysError::Concurrency);
        }
        Ok(())
    }
}

impl StoredKey {
    /// Whether the key is in force at this moment.
    pub fn state(&self, now: Timestamp) -> State {
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

    /// The key as the proxy wants it.
    pub(crate) fn document(&self) -> KeyRecord {
        let StoredOwner { name, groups } = self.owner.clone();
        KeyRecord {
            id: self.id,
            client_id: self.client_id.clone(),
            owner: document::Owner { name, groups },
            hash: self.hash.clone(),
            models: self.models.clone(),
            resources: Vec::new(),
            not_before: self.not_before,
            expires_at: self.expires_at,
            suspended: self.suspended,
            limits: document::RequestLimits { concurrency: self.limits.concurrency },
        }
    }
}

fn check_name(name: &str) -> Result<(), KeysError> {
    let characters = name.chars().count();
    let fits = (1..=Keys::NAME_CHARACTERS_MAX).contains(&characters);
    if fits && !name.chars().any(char::is_control) { Ok(()) } else { Err(KeysError::Name) }
}

/// `<owner>-<key id>`: says who it is to people, and is nobody else's. What no header may hold
/// becomes `-`.
pub(crate) fn client_id(owner: &str, key: &SecretKey) -> String {
    const OWNER_BYTES_MAX: usize = KeyRecord::CLIENT_ID_BYTES_MAX - KeyId::BYTES - 1;
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let owner: String = owner.chars().map(plain).take(OWNER_BYTES_MAX).collect();
    match owner.trim_matches('-') {
        "" => format!("key-{}", key.id()),
        owner => format!("{owner}-{}", key.id()),
    }
}
