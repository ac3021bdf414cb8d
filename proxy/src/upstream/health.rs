//! Endpoints that fail are left alone until a probe finds them well.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Failures in a row after which an endpoint is left alone.
pub const FAILURES_MAX: u32 = 3;
/// How long until the first probe; doubled with each that fails.
pub const PROBE_AFTER: Duration = Duration::from_millis(500);
/// The longest time between two probes.
pub const PROBE_AFTER_MAX: Duration = Duration::from_secs(15);

/// Whether an endpoint takes requests.
#[derive(Debug)]
pub struct Health {
    ready: AtomicBool,
    /// Nothing has failed since the last success: nearly always, and known without the lock.
    spotless: AtomicBool,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready { failures: u32 },
    Ejected { probe_at: Instant, wait: Duration },
}

impl Default for Health {
    fn default() -> Self {
        Self {
            ready: AtomicBool::new(true),
            spotless: AtomicBool::new(true),
            state: Mutex::new(State::Ready { failures: 0 }),
        }
    }
}

impl Health {
    /// Whether it takes requests.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// A request was answered, or a probe.
    pub fn succeeded(&self) {
        if !self.spotless.load(Ordering::Acquire) {
            self.change(|_| State::Ready { failures: 0 });
        }
    }

    /// A connection was refused, or broke before the first byte. What was under way when the
    /// endpoint was left alone says nothing new: many that fail at once count as one failure.
    pub fn failed(&self, now: Instant) {
        self.change(|state| match state {
            State::Ready { failures } if failures + 1 < FAILURES_MAX => {
                State::Ready { failures: failures + 1 }
            }
            State::Ready { .. } => {
                State::Ejected { probe_at: now + PROBE_AFTER, wait: PROBE_AFTER }
            }
            State::Ejected { .. } => state,
        });
    }

    /// A probe was not answered.
    pub fn probe_failed(&self, now: Instant) {
        self.change(|state| match state {
            State::Ready { .. } => state,
            State::Ejected { wait, .. } => {
                let wait = (wait * 2).min(PROBE_AFTER_MAX);
                State::Ejected { probe_at: now + wait, wait }
            }
        });
    }

    /// Whether it is time to probe.
    pub fn wants_probe(&self, now: Instant) -> bool {
        if self.is_ready() {
            return false;
        }
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(state, State::Ejected { probe_at, .. } if probe_at <= now)
    }

    fn change(&self, next: impl FnOnce(State) -> State) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = next(*state);
        self.spotless.store(*state == State::Ready { failures: 0 }, Ordering::Release);
        self.ready.store(matches!(*state, State::Ready { .. }), Ordering::Release);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_eject_and_a_success_between_them_does_not() {
        let (health, now) = (Health::default(), Instant::now());
        health.failed(now);
        health.failed(now);
        health.succeeded();
        health.failed(now);
        health.failed(now);
        assert!(health.is_ready());
        health.failed(now);
        assert!(!health.is_ready());
    }

    #[test]
    fn an_ejected_endpoint_comes_back_only_by_a_probe_that_succeeds() {
        let (health, now) = (Health::default(), Instant::now());
        for _ in 0..FAILURES_MAX {
            health.failed(now);
        }
        assert!(!health.wants_probe(now));
        health.failed(now);
        assert!(health.wants_probe(now + PROBE_AFTER));
        health.probe_failed(now + PROBE_AFTER);
        assert!(!health.wants_probe(now + PROBE_AFTER * 2));
        assert!(health.wants_probe(now + PROBE_AFTER * 3));
        health.succeeded();
        assert!(health.is_ready());
    }
}
