//! The one place that reads the clock. Everything else takes `now` as an argument.

use jiff::Timestamp;
use std::time::Instant;

/// For durations.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// For what people and documents call time.
pub(crate) fn wall() -> Timestamp {
    Timestamp::now()
}
