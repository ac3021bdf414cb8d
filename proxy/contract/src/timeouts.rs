//! How long to wait for an upstream.

use crate::document;
use std::time::Duration;

/// How long to wait for an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the whole exchange, from the request's first byte to the reply's last.
    pub request: Duration,
    /// For the next byte: of the reply's header, or of a stream that has fallen silent.
    pub idle: Duration,
}

/// Why waits are refused: one is nothing, or longer than a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` must be from 1 ms to 24 h")]
pub struct InvalidTimeouts {
    /// Which wait: `connect`, `request` or `idle`.
    pub field: &'static str,
}

impl Timeouts {
    /// For a model server of our own: a connection comes at once, an answer may take long.
    pub const SERVED: Self = Self {
        connect: Duration::from_secs(5),
        request: Duration::from_secs(3600),
        idle: Duration::from_secs(600),
    };
    /// For an external service.
    pub const PROVIDER: Self = Self {
        connect: Duration::from_secs(5),
        request: Duration::from_secs(600),
        idle: Duration::from_secs(120),
    };
    const MAX: Duration = Duration::from_secs(24 * 3600);
}

impl TryFrom<document::Timeouts> for Timeouts {
    type Error = InvalidTimeouts;

    fn try_from(document: document::Timeouts) -> Result<Self, InvalidTimeouts> {
        let document::Timeouts { connect_ms, request_ms, idle_ms } = document;
        let check = |field, ms| {
            let wait = Duration::from_millis(ms);
            let sane = !wait.is_zero() && wait <= Self::MAX;
            if sane { Ok(wait) } else { Err(InvalidTimeouts { field }) }
        };
        Ok(Self {
            connect: check("connect", connect_ms)?,
            request: check("request", request_ms)?,
            idle: check("idle", idle_ms)?,
        })
    }
}

impl From<Timeouts> for document::Timeouts {
    fn from(timeouts: Timeouts) -> Self {
        let ms = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self {
            connect_ms: ms(timeouts.connect),
            request_ms: ms(timeouts.request),
            idle_ms: ms(timeouts.idle),
        }
    }
}
