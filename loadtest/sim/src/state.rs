//! What a server is doing now, in numbers that tests wait for.

use tokio::sync::watch;

/// Requests and connections of one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Requests that hold one of the engine's slots.
    pub running: usize,
    /// Requests that wait for one.
    pub waiting: usize,
    /// Open connections.
    pub connections: usize,
    /// Requests whose head arrived, since the start; the paths under `/sim/` do not count.
    pub received: u64,
    /// Requests answered to the last byte, since the start.
    pub completed: u64,
    /// Requests that ended otherwise, since the start.
    pub aborted: u64,
}

/// Shares the state between everyone who changes it and everyone who waits.
#[derive(Debug)]
pub(crate) struct StateWatch(watch::Sender<State>);

impl StateWatch {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(State::default()))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        self.0.send_modify(change);
    }

    /// Changes the state if `change` says that it did.
    pub(crate) fn try_change(&self, change: impl FnOnce(&mut State) -> bool) -> bool {
        self.0.send_if_modified(change)
    }

    pub(crate) fn now(&self) -> State {
        *self.0.borrow()
    }

    /// Waits until `wanted` holds. The sender lives as long as `self`, so this cannot fail.
    pub(crate) async fn until(&self, mut wanted: impl FnMut(&State) -> bool) -> State {
        let mut seen = self.0.subscribe();
        let reached = seen.wait_for(|state| wanted(state)).await.map(|state| *state);
        reached.unwrap_or_else(|_closed| self.now())
    }
}
