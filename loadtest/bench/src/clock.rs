//! The one reader of the clock.
//!
//! Stamps cross process borders (the mock upstream writes them, the load reads
//! them), so they are raw `CLOCK_MONOTONIC` values; `std::time::Instant` cannot
//! be written down.

use rustix::time::{ClockId, clock_gettime};

const NS_PER_S: u64 = 1_000_000_000;

/// Nanoseconds of `CLOCK_MONOTONIC`, the same in every process of this machine.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or_default();
    seconds.saturating_mul(NS_PER_S).saturating_add(nanoseconds)
}
