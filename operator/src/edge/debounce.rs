//! Schedules reconciles of the edge.
//!
//! A reconcile follows a change after a short delay that batches changes. A failed one is retried
//! with exponential backoff. So are changes after a reconcile that wrote something: if another
//! controller keeps reverting our writes, the two wait longer each time.

use std::time::{Duration, Instant};

/// From a change to the reconcile, to batch changes.
pub(super) const DELAY: Duration = Duration::from_millis(100);
/// The first wait after a reconcile that failed or wrote something; it doubles.
const BACKOFF: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(5 * 60);
/// After this time without a failure or a write, the backoff starts over.
const RESET_AFTER: Duration = Duration::from_secs(15 * 60);

/// The result of a reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Unchanged,
    Changed,
    Failed,
}

/// When to reconcile next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Debounce {
    due: Option<Instant>,
    /// The last reconcile that failed or wrote something, and the wait after it.
    backoff: Option<(Instant, Duration)>,
}

impl Debounce {
    /// The first reconcile is immediate.
    pub(super) fn new(now: Instant) -> Self {
        Self { due: Some(now), backoff: None }
    }

    /// When to reconcile next; `None` until something changes.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn on_change(&mut self, now: Instant) {
        let earliest = self.backoff.map_or(now, |(at, wait)| at + wait);
        self.at(earliest.max(now + DELAY));
    }

    /// Without a change, the next reconcile is after `recheck`.
    pub(super) fn on_reconciled(
        &mut self,
        outcome: Outcome,
        recheck: Option<Duration>,
        now: Instant,
    ) {
        self.due = None;
        if outcome != Outcome::Unchanged {
            let before = self.backoff.filter(|(at, _)| now.duration_since(*at) < RESET_AFTER);
            let wait = before.map_or(BACKOFF, |(_, wait)| (wait * 2).min(BACKOFF_MAX));
            self.backoff = Some((now, wait));
            if outcome == Outcome::Failed {
                self.at(now + wait);
            }
        }
        if let Some(recheck) = recheck {
            self.at(now + recheck);
        }
    }

    fn at(&mut self, then: Instant) {
        self.due = Some(self.due.map_or(then, |due| due.min(then)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn changes_that_come_together_are_reconciled_together() {
        let start = clock::now();
        let mut debounce = Debounce::new(start);
        debounce.on_reconciled(Outcome::Unchanged, None, start);
        assert_eq!(debounce.due(), None, "nothing polls");
        debounce.on_change(start);
        debounce.on_change(start + DELAY / 2);
        assert_eq!(debounce.due(), Some(start + DELAY));
    }

    #[test]
    fn two_controllers_that_revert_each_other_wait_ever_longer() {
        let start = clock::now();
        let mut debounce = Debounce::new(start);
        let mut now = start;
        let mut reconciles = 0;
        while now < start + Duration::from_hours(1) {
            debounce.on_reconciled(Outcome::Changed, None, now);
            debounce.on_change(now);
            now = debounce.due().unwrap();
            reconciles += 1;
        }
        assert!(reconciles < 25, "{reconciles} reconciles in an hour");
        debounce.on_reconciled(Outcome::Changed, None, now + RESET_AFTER);
        debounce.on_change(now + RESET_AFTER);
        assert_eq!(debounce.due(), Some(now + RESET_AFTER + BACKOFF), "it was calm");
    }

    #[test]
    fn a_failed_reconcile_is_retried_without_a_change() {
        let start = clock::now();
        let mut debounce = Debounce::new(start);
        debounce.on_reconciled(Outcome::Failed, None, start);
        assert_eq!(debounce.due(), Some(start + BACKOFF));
    }

    #[test]
    fn a_recheck_is_due_although_nothing_changes() {
        let start = clock::now();
        let mut debounce = Debounce::new(start);
        debounce.on_reconciled(Outcome::Unchanged, Some(Duration::from_hours(24)), start);
        assert_eq!(debounce.due(), Some(start + Duration::from_hours(24)));
        debounce.on_change(start);
        assert_eq!(debounce.due(), Some(start + DELAY));
    }
}
