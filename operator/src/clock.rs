//! The one place that reads the clock. Everything else takes `now` as an argument.

use jiff::Timestamp;
use std::time::Instant;

/// For waits.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// For what people and documents call time.
pub fn wall() -> Timestamp {
    Timestamp::now()
}
