//! The one place that reads the clock. Everything else takes `now` as an argument.

use jiff::Timestamp;

/// What people and documents call time.
pub fn wall() -> Timestamp {
    Timestamp::now()
}
