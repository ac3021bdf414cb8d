//! The one place that reads the clock.

use jiff::Timestamp;
use std::time::Instant;

/// For durations.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// What people and documents call time.
pub fn wall() -> Timestamp {
    Timestamp::now()
}
