//! The only reader of the clock. Everything else takes `now` as an argument.

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "the only reader of the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
