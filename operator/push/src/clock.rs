//! The only place that reads the clock.

use jiff::Timestamp;
use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn wall() -> Timestamp {
    Timestamp::now()
}
