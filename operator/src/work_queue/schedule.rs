//! The order in which keys are reconciled. Time is an argument.

use super::Action;
use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    time::{Duration, Instant},
};

/// The back-off after the first failure; it doubles with each.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(5 * 60);
/// The longest wait: a wall clock that is set must not be noticed much later.
const REQUEUE_AFTER_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Schedule<K> {
    is_open: bool,
    /// By time.
    waiting: BTreeSet<(Instant, K)>,
    states: HashMap<K, KeyState>,
}

#[derive(Clone, Copy, Debug)]
struct KeyState {
    phase: Phase,
    /// Consecutive ones.
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Waiting(Instant),
    Running,
    /// Running, and pushed again.
    Dirty,
}

impl<K> Default for Schedule<K> {
    fn default() -> Self {
        Self { is_open: false, waiting: BTreeSet::new(), states: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash + Ord> Schedule<K> {
    pub(super) fn open(&mut self, initial: impl IntoIterator<Item = K>, now: Instant) {
        self.is_open = true;
        initial.into_iter().for_each(|key| self.push(key, now));
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(at, _)| *at)
    }

    /// Ends a wait, also one after a failure.
    pub(super) fn push(&mut self, key: K, now: Instant) {
        if !self.is_open {
            return;
        }
        match self.states.get_mut(&key) {
            None => self.wait(key, now, 0),
            Some(KeyState { phase: Phase::Waiting(at), .. }) if *at <= now => {}
            Some(KeyState { phase: Phase::Waiting(_), failures }) => {
                let failures = *failures;
                self.wait(key, now, failures);
            }
            Some(state) => state.phase = Phase::Dirty,
        }
    }

    pub(super) fn pop(&mut self, now: Instant) -> Option<K> {
        self.next_due().filter(|due| *due <= now)?;
        let (_, key) = self.waiting.pop_first()?;
        if let Some(state) = self.states.get_mut(&key) {
            state.phase = Phase::Running;
        }
        Some(key)
    }

    pub(super) fn finish(&mut self, key: K, action: Action, now: Instant) {
        let Some(state) = self.states.remove(&key) else { return };
        match action {
            // Also if it is dirty: the change may be a part of what failed.
            Action::Retry => {
                let failures = state.failures.saturating_add(1);
                self.wait(key, now + backoff(failures), failures);
            }
            _ if matches!(state.phase, Phase::Dirty) => self.wait(key, now, 0),
            Action::RequeueAfter(wait) => self.wait(key, now + wait.min(REQUEUE_AFTER_MAX), 0),
            Action::AwaitChange => {}
        }
    }

    fn wait(&mut self, key: K, at: Instant, failures: u32) {
        let state = KeyState { phase: Phase::Waiting(at), failures };
        if let Some(KeyState { phase: Phase::Waiting(before), .. }) =
            self.states.insert(key.clone(), state)
        {
            self.waiting.remove(&(before, key.clone()));
        }
        self.waiting.insert((at, key));
    }
}

fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    BACKOFF_MIN.saturating_mul(1 << doublings).min(BACKOFF_MAX)
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
    fn a_key_that_is_pushed_several_times_is_reconciled_once() {
        let now = clock::now();
        let mut schedule = open(now);
        for name in ["a", "b", "a", "a"] {
            schedule.push(name, now);
        }
        assert_eq!(
            [schedule.pop(now), schedule.pop(now), schedule.pop(now)],
            [Some("a"), Some("b"), None]
        );
    }

    #[test]
    fn a_key_that_is_pushed_while_it_runs_runs_again_afterwards() {
        let now = clock::now();
        let mut schedule = open(now);
        schedule.push("a", now);
        assert_eq!(schedule.pop(now), Some("a"));
        schedule.push("a", now);
        assert_eq!(schedule.pop(now), None, "not twice at a time");
        schedule.finish("a", Action::AwaitChange, now);
        assert_eq!(schedule.pop(now), Some("a"));
        schedule.finish("a", Action::AwaitChange, now);
        assert_eq!((schedule.pop(now), schedule.next_due()), (None, None));
    }

    #[test]
    fn the_back_off_doubles_until_a_success() {
        let mut now = clock::now();
        let mut schedule = open(now);
        schedule.push("a", now);
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(schedule.pop(now), Some("a"));
            schedule.finish("a", Action::Retry, now);
            let due = schedule.next_due().unwrap();
            assert_eq!(due - now, Duration::from_secs(seconds));
            now = due;
        }
        assert_eq!(schedule.pop(now), Some("a"));
        schedule.finish("a", Action::AwaitChange, now);
        schedule.push("a", now);
        schedule.pop(now);
        schedule.finish("a", Action::Retry, now);
        assert_eq!(schedule.next_due(), Some(now + Duration::from_secs(1)));
    }

    #[test]
    fn a_change_ends_a_wait() {
        let now = clock::now();
        let mut schedule = open(now);
        schedule.push("a", now);
        schedule.pop(now);
        schedule.finish("a", Action::RequeueAfter(Duration::from_secs(60)), now);
        assert_eq!(schedule.pop(now), None);
        schedule.push("a", now);
        assert_eq!(schedule.pop(now), Some("a"));
    }

    #[test]
    fn no_wait_is_longer_than_an_hour() {
        let now = clock::now();
        let mut schedule = open(now);
        schedule.push("a", now);
        schedule.pop(now);
        schedule.finish("a", Action::RequeueAfter(Duration::from_secs(1 << 40)), now);
        assert_eq!(schedule.next_due(), Some(now + REQUEUE_AFTER_MAX));
    }

    #[test]
    fn a_closed_queue_drops_what_is_pushed() {
        let now = clock::now();
        let mut schedule = Schedule::default();
        schedule.push("a", now);
        assert_eq!(schedule.len(), 0);
        schedule.open(["b"], now);
        assert_eq!(schedule.pop(now), Some("b"));
        schedule = Schedule::default();
        schedule.finish("b", Action::Retry, now);
        assert_eq!(schedule.len(), 0);
    }
}
