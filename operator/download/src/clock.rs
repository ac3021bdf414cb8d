//! The one place that reads the clock. Everything else takes `now` as an argument.

use std::time::Instant;

/// For durations on this machine; never compared with another machine's.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
