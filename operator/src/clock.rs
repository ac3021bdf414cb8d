//! The one reader of the clock. Everything else takes the time as an argument.

use jiff::Timestamp;
use std::time::Instant;

/// Monotonic, for waits.
#[expect(clippy::disallowed_methods, reason = "the one reader of the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall clock time, for documents and people.
pub fn wall() -> Timestamp {
    Timestamp::now()
}
