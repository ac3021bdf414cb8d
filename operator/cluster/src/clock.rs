//! The one place that reads the clock.

use std::time::Instant;

use jiff::Timestamp;

/// Monotonic time, for durations.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Wall-clock time.
pub fn wall() -> Timestamp {
    Timestamp::now()
}
