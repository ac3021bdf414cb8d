//! The queue and its worker loop.

use super::{Action, schedule::Schedule};
use crate::clock;
use futures::{StreamExt as _, stream::FuturesUnordered};
use parking_lot::Mutex;
use std::{
    hash::Hash,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// So that a request that never ends does not occupy a worker for ever.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(120);

/// A queue that is closed while nothing runs it: keys that are pushed then are dropped, because a
/// new run starts with all of them.
#[derive(Debug)]
pub struct WorkQueue<K> {
    schedule: Mutex<Schedule<K>>,
    pushed: Notify,
    reconciles: AtomicU64,
    retries: AtomicU64,
}

impl<K: Clone + Eq + Hash + Ord> WorkQueue<K> {
    pub fn push(&self, key: K) {
        self.schedule.lock().push(key, clock::now());
        self.pushed.notify_one();
    }

    /// The number of keys that wait for a worker or for their time.
    pub fn waiting_count(&self) -> usize {
        self.schedule.lock().len()
    }

    pub fn reconcile_count(&self) -> u64 {
        self.reconciles.load(Relaxed)
    }

    /// How many reconciliations are retried.
    pub fn retry_count(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Reconciles `initial`, then what is pushed, until stopped. Running reconciliations are
    /// dropped then.
    pub async fn run<F: Future<Output = Action>>(
        &self,
        concurrency: usize,
        initial: impl IntoIterator<Item = K>,
        stop: &CancellationToken,
        reconcile: impl Fn(K) -> F,
    ) {
        self.schedule.lock().open(initial, clock::now());
        let _open = CloseOnDrop(&self.schedule);
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < concurrency
                && let Some(key) = self.schedule.lock().pop(clock::now())
            {
                let reconcile = tokio::time::timeout(RECONCILE_TIMEOUT, reconcile(key.clone()));
                running.push(async move { (key, reconcile.await.unwrap_or(Action::Retry)) });
            }
            let due = self.schedule.lock().next_due();
            let is_full = running.len() >= concurrency;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some((key, action)) = running.next() => {
                    self.reconciles.fetch_add(1, Relaxed);
                    self.retries.fetch_add((action == Action::Retry).into(), Relaxed);
                    self.schedule.lock().finish(key, action, clock::now());
                }
                () = self.pushed.notified() => {}
                () = sleep_until(due), if !is_full => {}
            }
        }
    }
}

/// Closes the queue also when its run is dropped: what had begun is not marked as running then.
struct CloseOnDrop<'a, K>(&'a Mutex<Schedule<K>>);

impl<K> Drop for CloseOnDrop<'_, K> {
    fn drop(&mut self) {
        *self.0.lock() = Schedule::default();
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

impl<K> Default for WorkQueue<K> {
    fn default() -> Self {
        Self {
            schedule: Mutex::default(),
            pushed: Notify::new(),
            reconciles: AtomicU64::new(0),
            retries: AtomicU64::new(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reconciliation_that_was_dropped_with_its_run_starts_again_in_the_next() {
        let (queue, stop) = (WorkQueue::default(), CancellationToken::new());
        let never = queue.run(1, ["a"], &stop, |_| std::future::pending());
        assert!(tokio::time::timeout(Duration::from_millis(1), never).await.is_err());
        let again = queue.run(1, ["a"], &stop, async |key| {
            assert_eq!(key, "a");
            stop.cancel();
            Action::AwaitChange
        });
        tokio::time::timeout(Duration::from_secs(60), again).await.unwrap();
    }
}
