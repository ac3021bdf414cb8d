//! Passive health checks: endpoints that keep failing are ejected until a probe succeeds.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Failures in a row after which an endpoint is ejected.
pub const FAILURES_MAX: u32 = 3;
/// Delay of the first probe; doubled with each that fails.
pub const PROBE_AFTER: Duration = Duration::from_millis(500);
pub const PROBE_AFTER_MAX: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub struct Health {
    ready: AtomicBool,
    /// No failure since the last success: nearly always, and known without the lock.
    failure_free: AtomicBool,
    state: Mutex<HealthState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HealthState {
    Ready { failures: u32 },
    Ejected { probe_at: Instant, wait: Duration },
}

impl Default for Health {
    fn default() -> Self {
        Self {
            ready: AtomicBool::new(true),
            failure_free: AtomicBool::new(true),
            state: Mutex::new(HealthState::Ready { failures: 0 }),
        }
    }
}

impl Health {
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub fn record_success(&self) {
        if !self.failure_free.load(Ordering::Acquire) {
            self.update(|_| HealthState::Ready { failures: 0 });
        }
    }

    /// Requests in flight when the endpoint was ejected say nothing new: many that fail at once
    /// do not delay its probe.
    pub fn record_failure(&self, now: Instant) {
        self.update(|state| match state {
            HealthState::Ready { failures } if failures + 1 < FAILURES_MAX => {
                HealthState::Ready { failures: failures + 1 }
            }
            HealthState::Ready { .. } => {
                HealthState::Ejected { probe_at: now + PROBE_AFTER, wait: PROBE_AFTER }
            }
            HealthState::Ejected { .. } => state,
        });
    }

    pub fn record_probe_failure(&self, now: Instant) {
        self.update(|state| match state {
            HealthState::Ready { .. } => state,
            HealthState::Ejected { wait, .. } => {
                let wait = (wait * 2).min(PROBE_AFTER_MAX);
                HealthState::Ejected { probe_at: now + wait, wait }
            }
        });
    }

    pub fn is_probe_due(&self, now: Instant) -> bool {
        if self.is_ready() {
            return false;
        }
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(state, HealthState::Ejected { probe_at, .. } if probe_at <= now)
    }

    fn update(&self, next: impl FnOnce(HealthState) -> HealthState) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = next(*state);
        self.failure_free.store(*state == HealthState::Ready { failures: 0 }, Ordering::Release);
        self.ready.store(matches!(*state, HealthState::Ready { .. }), Ordering::Release);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests need a start time")]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_eject_and_a_success_between_them_does_not() {
        let (health, now) = (Health::default(), Instant::now());
        health.record_failure(now);
        health.record_failure(now);
        health.record_success();
        health.record_failure(now);
        health.record_failure(now);
        assert!(health.is_ready());
        health.record_failure(now);
        assert!(!health.is_ready());
    }

    #[test]
    fn an_ejected_endpoint_comes_back_only_by_a_probe_that_succeeds() {
        let (health, now) = (Health::default(), Instant::now());
        for _ in 0..FAILURES_MAX {
            health.record_failure(now);
        }
        assert!(!health.is_probe_due(now));
        health.record_failure(now);
        assert!(health.is_probe_due(now + PROBE_AFTER));
        health.record_probe_failure(now + PROBE_AFTER);
        assert!(!health.is_probe_due(now + PROBE_AFTER * 2));
        assert!(health.is_probe_due(now + PROBE_AFTER * 3));
        health.record_success();
        assert!(health.is_ready());
    }
}
