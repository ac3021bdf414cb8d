//! The one reader of the clock. Everything else takes `now` as an argument.

use jiff::Timestamp;
use std::time::Instant;

/// Monotonic time: for durations.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall-clock time.
pub fn wall() -> Timestamp {
    Timestamp::now()
}
