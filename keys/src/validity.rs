//! When a key is in force, and what a rotation makes of that; pure. Every store goes by it.

use crate::{Keys, KeysError};
use jiff::{SignedDuration, Timestamp};
use llm_contract::KeyId;
use serde::Serialize;
use std::{fmt, time::Duration};

/// What decides whether a key is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// When it was made.
    pub created_at: Timestamp,
    /// Refused before this time.
    pub not_before: Option<Timestamp>,
    /// Refused from this time on.
    pub expires_at: Option<Timestamp>,
    /// Refused until it is taken back.
    pub suspended: bool,
    /// Refused for good.
    pub revoked: bool,
}

/// Whether a stored key is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It is.
    Active,
    /// Its time has not come.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// Somebody suspended it.
    Suspended,
    /// Gone for good.
    Revoked,
}

/// What becomes of a key and of the one in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// The old key is refused from this time on, if it does not expire before.
    pub(crate) overlap_until: Timestamp,
    /// When the new one expires: it lives as long as the old one was meant to.
    pub(crate) expires_at: Option<Timestamp>,
}

impl Validity {
    /// Whether the key is in force at this moment; if not, the strongest reason.
    pub fn state(&self, now: Timestamp) -> State {
        if self.revoked {
            return State::Revoked;
        }
        if self.suspended {
            return State::Suspended;
        }
        if self.not_before.is_some_and(|start| now < start) {
            return State::NotYetValid;
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return State::Expired;
        }
        State::Active
    }

    /// What rotating the key now means, if that is possible.
    pub(crate) fn rotate(
        &self,
        id: KeyId,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<Rotation, KeysError> {
        let overlap_until = Some(overlap)
            .filter(|overlap| *overlap <= Keys::OVERLAP_MAX)
            .and_then(|overlap| SignedDuration::try_from(overlap).ok())
            .and_then(|overlap| now.checked_add(overlap).ok())
            .ok_or(KeysError::Overlap)?;
        match self.state(now) {
            State::Active => {}
            // The new one would be valid before the old one was to be.
            State::NotYetValid => return Err(KeysError::NotYetValid(id)),
            State::Expired => return Err(KeysError::Expired(id)),
            State::Suspended => return Err(KeysError::Suspended(id)),
            State::Revoked => return Err(KeysError::Revoked(id)),
        }
        let lifetime = self.expires_at.map(|end| end.duration_since(self.created_at));
        let expires_at = lifetime.and_then(|lifetime| now.checked_add(lifetime).ok());
        Ok(Rotation { overlap_until, expires_at })
    }
}

impl fmt::Display for State {
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
