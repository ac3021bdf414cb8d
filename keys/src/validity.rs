//! When a key is valid, and what a rotation makes of that; pure. All stores share it.

use crate::error::{KeysError, OVERLAP_MAX};
use jiff::{SignedDuration, Timestamp};
use llm_contract::KeyId;
use serde::Serialize;
use std::{fmt, time::Duration};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Validity {
    pub created_at: Timestamp,
    pub not_before: Option<Timestamp>,
    /// Refused from this time on.
    pub expires_at: Option<Timestamp>,
    #[serde(skip)]
    pub suspended: bool,
    #[serde(skip)]
    pub revoked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StoredKeyState {
    Active,
    NotYetValid,
    Expired,
    /// Refused until it is resumed.
    Suspended,
    /// Refused for good.
    Revoked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// The old key is refused from this time on, unless it expires before.
    pub(crate) overlap_until: Timestamp,
    /// The new key has the old one's lifetime, counted from now.
    pub(crate) expires_at: Option<Timestamp>,
}

impl Validity {
    /// If the key is not active, the strongest reason.
    pub fn state(&self, now: Timestamp) -> StoredKeyState {
        if self.revoked {
            return StoredKeyState::Revoked;
        }
        if self.suspended {
            return StoredKeyState::Suspended;
        }
        if self.not_before.is_some_and(|start| now < start) {
            return StoredKeyState::NotYetValid;
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return StoredKeyState::Expired;
        }
        StoredKeyState::Active
    }

    pub(crate) fn rotate(
        &self,
        id: KeyId,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<Rotation, KeysError> {
        let overlap_until = Some(overlap)
            .filter(|overlap| *overlap <= OVERLAP_MAX)
            .and_then(|overlap| SignedDuration::try_from(overlap).ok())
            .and_then(|overlap| now.checked_add(overlap).ok())
            .ok_or(KeysError::Overlap)?;
        match self.state(now) {
            StoredKeyState::Active => {}
            StoredKeyState::NotYetValid => return Err(KeysError::NotYetValid(id)),
            StoredKeyState::Expired => return Err(KeysError::Expired(id)),
            StoredKeyState::Suspended => return Err(KeysError::Suspended(id)),
            StoredKeyState::Revoked => return Err(KeysError::Revoked(id)),
        }
        let lifetime = self.expires_at.map(|end| end.duration_since(self.created_at));
        let expires_at = lifetime.and_then(|lifetime| now.checked_add(lifetime).ok());
        Ok(Rotation { overlap_until, expires_at })
    }
}

impl fmt::Display for StoredKeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Active => "active",
            Self::NotYetValid => "not yet valid",
            Self::Expired => "expired",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        })
    }
}
