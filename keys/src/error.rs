//! What is refused about keys, and the limits that apply.

use llm_contract::KeyId;
use std::time::Duration;

/// The most keys in a store, revoked ones included.
pub const KEYS_MAX: usize = 100_000;
/// The longest name, in characters.
pub const NAME_CHARACTERS_MAX: usize = 200;
/// The most models in a key's scope.
pub const MODELS_MAX: usize = 1000;
/// The most groups of an owner.
pub const GROUPS_MAX: usize = 1000;
/// How long a rotated key may stay valid.
pub const OVERLAP_MAX: Duration = Duration::from_secs(90 * 86_400);

/// A change that is refused; the keys stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("the store is full: it holds at most {KEYS_MAX} keys, including revoked ones")]
    Full,
    #[error("a name has 1 to {NAME_CHARACTERS_MAX} characters and no control characters")]
    Name,
    #[error("a key needs 1 to {MODELS_MAX} models; `*` stands for all")]
    Models,
    #[error("an owner has at most {GROUPS_MAX} groups")]
    Groups,
    #[error("the key would expire before it becomes valid")]
    Expiry,
    #[error("`concurrency` must be at least 1")]
    Concurrency,
    #[error("the overlap is at most {} days", OVERLAP_MAX.as_secs() / 86_400)]
    Overlap,
    /// The random numbers repeated themselves.
    #[error("key {0} already exists; try again")]
    IdTaken(KeyId),
    #[error("there is no key {0}")]
    Unknown(KeyId),
    #[error("key {0} is revoked; create a new one")]
    Revoked(KeyId),
    /// Rotation would give the holder a key that is not suspended.
    #[error("key {0} is suspended; resume it first")]
    Suspended(KeyId),
    /// The new key would be valid before the old one was meant to be.
    #[error("key {0} is not valid yet; revoke it and create a new one")]
    NotYetValid(KeyId),
    #[error("key {0} has expired; create a new one")]
    Expired(KeyId),
    #[error(
        "key {id} was already replaced by {by}; rotate that one, or create a new one if it is gone"
    )]
    Replaced { id: KeyId, by: KeyId },
}

impl KeysError {
    /// Whether the request was valid, and the store could not serve it.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Full | Self::IdTaken(_))
    }
}
