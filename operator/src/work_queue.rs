//! What is to be looked at, each thing once, and not twice at the same time.
//!
//! The queue holds names, so it is never longer than there are resources. A name that comes up
//! while it is being worked on is looked at again afterwards. What failed is tried again later,
//! and later still.

mod schedule;

use crate::clock;
use futures::{StreamExt as _, stream::FuturesUnordered};
use parking_lot::Mutex;
use schedule::Schedule;
use std::{
    fmt,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The longest that one look may take; an answer that never comes must not hold a place for ever.
const LOOK_MAX: Duration = Duration::from_secs(120);

/// When something is to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When it changes.
    OnChange,
    /// After this time, if it does not change before.
    After(Duration),
    /// After the wait for what failed.
    Retry,
}

/// Names of things to look at. Cheap to clone.
pub struct Queue<K>(Arc<Inner<K>>);

struct Inner<K> {
    schedule: Mutex<Schedule<K>>,
    changed: Notify,
    looks: AtomicU64,
    retries: AtomicU64,
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// A queue that is closed: what is pushed is forgotten until somebody works on it.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            schedule: Mutex::default(),
            changed: Notify::new(),
            looks: AtomicU64::new(0),
            retries: AtomicU64::new(0),
        }))
    }

    /// Has something looked at soon.
    pub fn push(&self, name: K) {
        self.0.schedule.lock().push(name, clock::now());
        self.0.changed.notify_one();
    }

    /// How many names wait for their turn or their time.
    pub fn len(&self) -> usize {
        self.0.schedule.lock().len()
    }

    /// How often something was looked at, since the start.
    pub fn looks(&self) -> u64 {
        self.0.looks.load(Relaxed)
    }

    /// How often that is to be tried again.
    pub fn retries(&self) -> u64 {
        self.0.retries.load(Relaxed)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks at `first`, and then at what is pushed, until told to stop. What is being looked at
    /// then is dropped where it waits.
    pub async fn work<F: Future<Output = Next>>(
        &self,
        at_a_time: usize,
        first: impl IntoIterator<Item = K>,
        stop: &CancellationToken,
        look: impl Fn(K) -> F,
    ) {
        self.0.schedule.lock().open(first, clock::now());
        let _open = Open(&self.0.schedule);
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < at_a_time
                && let Some(name) = self.0.schedule.lock().take(clock::now())
            {
                let looking = tokio::time::timeout(LOOK_MAX, look(name.clone()));
                running.push(async move { (name, looking.await.unwrap_or(Next::Retry)) });
            }
            let due = self.0.schedule.lock().due();
            let full = running.len() >= at_a_time;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some((name, next)) = running.next() => {
                    self.0.looks.fetch_add(1, Relaxed);
                    self.0.retries.fetch_add((next == Next::Retry).into(), Relaxed);
                    self.0.schedule.lock().done(name, next, clock::now());
                }
                () = self.0.changed.notified() => {}
                () = until(due), if !full => {}
            }
        }
    }
}

/// That somebody works on a queue: also when that work is dropped, what it had begun is nobody's.
struct Open<'a, K: Clone + Eq + Hash + Ord>(&'a Mutex<Schedule<K>>);

impl<K: Clone + Eq + Hash + Ord> Drop for Open<'_, K> {
    fn drop(&mut self) {
        self.0.lock().close();
    }
}

/// Waits until then, or for ever.
async fn until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then.into()).await,
        None => std::future::pending().await,
    }
}

impl<K: Clone + Eq + Hash + Ord> Default for Queue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> fmt::Debug for Queue<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_being_looked_at_when_the_work_was_dropped_is_looked_at_anew() {
        let (queue, stop) = (Queue::new(), CancellationToken::new());
        let never = queue.work(1, ["a"], &stop, |_| std::future::pending());
        assert!(tokio::time::timeout(Duration::from_millis(1), never).await.is_err());
        let again = queue.work(1, ["a"], &stop, async |name| {
            assert_eq!(name, "a");
            stop.cancel();
            Next::OnChange
        });
        tokio::time::timeout(Duration::from_secs(60), again).await.unwrap();
    }
}
