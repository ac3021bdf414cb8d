//! Timeouts of an upstream.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Timeouts of an upstream, each from 1 ms to 24 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// TCP and TLS handshake.
    #[serde(rename = "connectMs", with = "millis")]
    pub connect: Duration,
    /// From the first byte of the request to the last of the reply.
    #[serde(rename = "requestMs", with = "millis")]
    pub request: Duration,
    /// Until the next byte of the reply.
    #[serde(rename = "idleMs", with = "millis")]
    pub idle: Duration,
}

/// A timeout of zero or more than a day: `connect`, `request` or `idle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` must be from 1 ms to 24 h")]
pub struct InvalidTimeouts(pub &'static str);

impl Timeouts {
    /// Defaults for served models: quick to connect, slow to answer.
    pub const SERVED: Self = Self {
        connect: Duration::from_secs(5),
        request: Duration::from_secs(3600),
        idle: Duration::from_secs(600),
    };
    /// Defaults for providers.
    pub const PROVIDER: Self = Self {
        connect: Duration::from_secs(5),
        request: Duration::from_secs(600),
        idle: Duration::from_secs(120),
    };
    const MAX: Duration = Duration::from_secs(24 * 3600);

    pub(crate) fn check(self) -> Result<Self, InvalidTimeouts> {
        let all = [("connect", self.connect), ("request", self.request), ("idle", self.idle)];
        match all.into_iter().find(|(_, wait)| wait.is_zero() || Self::MAX < *wait) {
            Some((field, _)) => Err(InvalidTimeouts(field)),
            None => Ok(self),
        }
    }
}

mod millis {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(wait: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
