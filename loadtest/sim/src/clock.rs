//! The one reader of the clock, so that a test can pause it with tokio's time.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The time that durations are measured with.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970, for `created` fields.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
