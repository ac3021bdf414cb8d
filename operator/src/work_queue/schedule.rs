//! When which name has its turn. Time is an argument.

use super::Next;
use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    time::{Duration, Instant},
};

/// The wait after the first failure; it doubles with each.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
const RETRY_MAX: Duration = Duration::from_secs(5 * 60);
/// The longest wait at all: a wall clock that was set must not be noticed much later.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Who has their turn when.
#[derive(Debug)]
pub(super) struct Schedule<K> {
    open: bool,
    /// In the order of their times.
    turns: BTreeSet<(Instant, K)>,
    states: HashMap<K, State>,
}

/// Where a name is.
#[derive(Clone, Copy, Debug)]
struct State {
    place: Place,
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// Its turn comes then.
    Waits(Instant),
    /// It has its turn.
    Runs,
    /// It has its turn, and came up again.
    RunsAgain,
}

impl<K> Default for Schedule<K> {
    fn default() -> Self {
        Self { open: false, turns: BTreeSet::new(), states: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash + Ord> Schedule<K> {
    /// Takes names from now on, these first.
    pub(super) fn open(&mut self, first: impl IntoIterator<Item = K>, now: Instant) {
        self.open = true;
        for name in first {
            self.push(name, now);
        }
    }

    /// Forgets everything.
    pub(super) fn close(&mut self) {
        *self = Self::default();
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.turns.len()
    }

    /// The next time at which somebody has their turn.
    pub(super) fn due(&self) -> Option<Instant> {
        self.turns.first().map(|(at, _)| *at)
    }

    /// Something came up. A wait after a failure ends.
    pub(super) fn push(&mut self, name: K, now: Instant) {
        if !self.open {
            return;
        }
        let failures = self.states.get(&name).map_or(0, |state| state.failures);
        match self.states.get(&name).map(|state| state.place) {
            Some(Place::Waits(at)) if at <= now => {}
            Some(Place::Runs | Place::RunsAgain) => {
                self.states.insert(name, State { place: Place::RunsAgain, failures });
            }
            Some(Place::Waits(_)) | None => self.wait(name, now, failures),
        }
    }

    /// Who has their turn now.
    pub(super) fn take(&mut self, now: Instant) -> Option<K> {
        if self.due()? > now {
            return None;
        }
        let (_, name) = self.turns.pop_first()?;
        if let Some(state) = self.states.get_mut(&name) {
            state.place = Place::Runs;
        }
        Some(name)
    }

    /// The turn is over.
    pub(super) fn done(&mut self, name: K, next: Next, now: Instant) {
        let Some(state) = self.states.remove(&name) else { return };
        let again = matches!(state.place, Place::RunsAgain);
        let failures = if next == Next::Retry { state.failures.saturating_add(1) } else { 0 };
        match next {
            // What came up may be a part of what failed, so it waits like the rest.
            Next::Retry => self.wait(name, now + retry_after(failures), failures),
            _ if again => self.wait(name, now, failures),
            Next::After(wait) => self.wait(name, now + wait.min(WAIT_MAX), failures),
            Next::OnChange => {}
        }
    }

    fn wait(&mut self, name: K, at: Instant, failures: u32) {
        if let Some(State { place: Place::Waits(before), .. }) = self.states.get(&name) {
            self.turns.remove(&(*before, name.clone()));
        }
        self.states.insert(name.clone(), State { place: Place::Waits(at), failures });
        self.turns.insert((at, name));
    }
}

/// How long to wait after so many failures in a row.
fn retry_after(failures: u32) -> Duration {
    let doubled = failures.saturating_sub(1).min(16);
    RETRY_FIRST.saturating_mul(1 << doubled).min(RETRY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn open(now: Instant) -> Schedule<&'static str> {
        let mut schedule = Schedule::default();
        schedule.open([], now);
        schedule
    }

    #[test]
    fn what_comes_up_several_times_has_one_turn() {
        let now = clock::now();
        let mut schedule = open(now);
        for name in ["a", "b", "a", "a"] {
            schedule.push(name, now);
        }
        assert_eq!(
            [schedule.take(now), schedule.take(now), schedule.take(now)],
            [Some("a"), Some("b"), None]
        );
    }

    #[test]
    fn what_comes_up_during_its_turn_has_another_one_afterwards() {
        let now = clock::now();
        let mut schedule = open(now);
        schedule.push("a", now);
        assert_eq!(schedule.take(now), Some("a"));
        schedule.push("a", now);
        assert_eq!(schedule.take(now), None, "not twice at the same time");
        schedule.done("a", Next::OnChange, now);
        assert_eq!(schedule.take(now), Some("a"));
        schedule.done("a", Next::OnChange, now);
        assert_eq!((schedule.take(now), schedule.due()), (None, None));
    }

    #[test]
    fn what_failed_waits_longer_each_time_until_it_succeeds() {
        let mut now = clock::now();
        let mut schedule = open(now);
        schedule.push("a", now);
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(schedule.take(now), Some("a"));
            schedule.done("a", Next::Retry, now);
            let due = schedule.due().unwrap();
            assert_eq!(due - now, Duration::from_secs(seconds));
            now = due;
        }
        assert_eq!(schedule.take(now), Some("a"));
        schedule.done("a", Next::OnChange, now);
        schedule.push("a", now);
        schedule.take(now);
        schedule.done("a", Next::Retry, now);
        assert_eq!(schedule.due(), Some(now + Duration::from_secs(1)));
    }

    #[test]
    fn a_change_ends_a_wait() {
        let now = clock::now();
        let mut schedule = open(now);
        schedule.push("a", now);
        schedule.take(now);
        schedule.done("a", Next::After(Duration::from_secs(60)), now);
        assert_eq!(schedule.take(now), None);
        schedule.push("a", now);
        assert_eq!(schedule.take(now), Some("a"));
    }

    #[test]
    fn no_wait_is_longer_than_an_hour() {
        let now = clock::now();
        let mut schedule = open(now);
        schedule.push("a", now);
        schedule.take(now);
        schedule.done("a", Next::After(Duration::from_secs(1 << 40)), now);
        assert_eq!(schedule.due(), Some(now + WAIT_MAX));
    }

    #[test]
    fn a_queue_that_nobody_works_on_forgets() {
        let now = clock::now();
        let mut schedule = Schedule::default();
        schedule.push("a", now);
        assert_eq!(schedule.len(), 0);
        schedule.open(["b"], now);
        assert_eq!(schedule.take(now), Some("b"));
        schedule.close();
        schedule.done("b", Next::Retry, now);
        assert_eq!(schedule.len(), 0);
    }
}
