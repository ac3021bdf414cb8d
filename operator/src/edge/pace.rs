//! When to look next.
//!
//! A look follows a change after a moment, so that changes that come together are seen together.
//! One that failed is repeated, and one that wrote something may have to be: when somebody else
//! writes the opposite, every write makes the next one wait longer, so that the two of them are a
//! line in the log now and then, and no burden.

use std::time::{Duration, Instant};

/// From a change to the look at it.
pub(super) const SETTLE: Duration = Duration::from_millis(100);
/// The first wait after a look that failed or wrote something; it doubles.
const WAIT: Duration = Duration::from_millis(250);
/// The longest one.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5 * 60);
/// As long without a failure or a write, and the waits begin anew.
pub(super) const CALM: Duration = Duration::from_secs(15 * 60);

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Everything is as it should be.
    Quiet,
    /// Something was written.
    Wrote,
    /// Something failed.
    Failed,
}

/// When to look next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    due: Option<Instant>,
    /// The last look that failed or wrote something, and the wait after it.
    stirred: Option<(Instant, Duration)>,
}

impl Pace {
    /// The first look is at once.
    pub(super) fn new(now: Instant) -> Self {
        Self { due: Some(now), stirred: None }
    }

    /// When to look next; not before something changes if there is no time.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Something changed.
    pub(super) fn changed(&mut self, now: Instant) {
        let rested = self.stirred.map_or(now, |(at, wait)| at + wait);
        self.at(rested.max(now + SETTLE));
    }

    /// A look ended. Without a change, the next one is after that time.
    pub(super) fn looked(&mut self, outcome: Outcome, again: Option<Duration>, now: Instant) {
        self.due = None;
        if outcome != Outcome::Quiet {
            let before = self.stirred.filter(|(at, _)| now.duration_since(*at) < CALM);
            let wait = before.map_or(WAIT, |(_, wait)| (wait * 2).min(WAIT_MAX));
            self.stirred = Some((now, wait));
            if outcome == Outcome::Failed {
                self.at(now + wait);
            }
        }
        if let Some(again) = again {
            self.at(now + again);
        }
    }

    /// The earlier of two times counts.
    fn at(&mut self, then: Instant) {
        self.due = Some(self.due.map_or(then, |due| due.min(then)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn changes_that_come_together_are_looked_at_together() {
        let start = clock::now();
        let mut pace = Pace::new(start);
        pace.looked(Outcome::Quiet, None, start);
        assert_eq!(pace.due(), None, "nothing polls");
        pace.changed(start);
        pace.changed(start + SETTLE / 2);
        assert_eq!(pace.due(), Some(start + SETTLE));
    }

    #[test]
    fn two_who_write_the_opposite_of_each_other_wait_ever_longer() {
        let start = clock::now();
        let mut pace = Pace::new(start);
        let mut now = start;
        let mut looks = 0;
        while now < start + Duration::from_hours(1) {
            pace.looked(Outcome::Wrote, None, now);
            pace.changed(now);
            now = pace.due().unwrap();
            looks += 1;
        }
        assert!(looks < 25, "{looks} looks in an hour");
        pace.looked(Outcome::Wrote, None, now + CALM);
        pace.changed(now + CALM);
        assert_eq!(pace.due(), Some(now + CALM + WAIT), "it was calm");
    }

    #[test]
    fn what_failed_is_tried_again_without_a_change() {
        let start = clock::now();
        let mut pace = Pace::new(start);
        pace.looked(Outcome::Failed, None, start);
        assert_eq!(pace.due(), Some(start + WAIT));
    }

    #[test]
    fn a_certificate_that_ends_is_looked_at_although_nothing_changes() {
        let start = clock::now();
        let mut pace = Pace::new(start);
        pace.looked(Outcome::Quiet, Some(Duration::from_hours(24)), start);
        assert_eq!(pace.due(), Some(start + Duration::from_hours(24)));
        pace.changed(start);
        assert_eq!(pace.due(), Some(start + SETTLE));
    }
}
