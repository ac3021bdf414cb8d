//! What is counted. Whoever has a registry of metrics reads it here.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Counted since the start.
#[derive(Debug, Default)]
pub struct Numbers {
    updates: AtomicU64,
    whole_tables: AtomicU64,
    bytes: AtomicU64,
    refusals: AtomicU64,
    connections_refused: AtomicU64,
    streams_failed: AtomicU64,
    lag: Lag,
}

/// How long changes took from when they were published until a proxy had them in force.
#[derive(Debug, Default)]
pub struct Lag {
    counts: [AtomicU64; Self::BOUNDS.len()],
    beyond: AtomicU64,
    micros: AtomicU64,
}

impl Numbers {
    /// Updates sent, without those of nothing.
    pub fn updates(&self) -> u64 {
        self.updates.load(Relaxed)
    }

    /// Updates that were a whole table.
    pub fn whole_tables(&self) -> u64 {
        self.whole_tables.load(Relaxed)
    }

    /// Bytes of all messages sent.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Documents that proxies said they refused.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Relaxed)
    }

    /// Connections that were too many.
    pub fn connections_refused(&self) -> u64 {
        self.connections_refused.load(Relaxed)
    }

    /// Streams that were refused, or broke.
    pub fn streams_failed(&self) -> u64 {
        self.streams_failed.load(Relaxed)
    }

    /// How long changes took.
    pub fn lag(&self) -> &Lag {
        &self.lag
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn update(&self, whole: bool) {
        self.updates.fetch_add(1, Relaxed);
        self.whole_tables.fetch_add(whole.into(), Relaxed);
    }

    pub(crate) fn refused(&self, documents: usize) {
        self.refusals.fetch_add(u64::try_from(documents).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn connection_refused(&self) {
        self.connections_refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn stream_failed(&self) {
        self.streams_failed.fetch_add(1, Relaxed);
    }

    pub(crate) fn answered(&self, took: Duration) {
        let bucket = Lag::BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound);
        let counted = bucket.and_then(|bucket| self.lag.counts.get(bucket));
        counted.unwrap_or(&self.lag.beyond).fetch_add(1, Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.lag.micros.fetch_add(micros, Relaxed);
    }
}

impl Lag {
    /// Upper bounds of the buckets, in seconds; one more is beyond them all.
    pub const BOUNDS: [f64; 12] =
        [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

    /// Each bound with the answers in its bucket alone; the last is infinite.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounded = Self::BOUNDS.iter().zip(&self.counts);
        let all = bounded.chain([(&f64::INFINITY, &self.beyond)]);
        all.map(|(bound, count)| (*bound, count.load(Relaxed))).collect()
    }

    /// Answers in all.
    pub fn count(&self) -> u64 {
        self.buckets().iter().map(|(_, count)| count).sum()
    }

    /// The time of all answers together, in seconds.
    pub fn sum(&self) -> f64 {
        Duration::from_micros(self.micros.load(Relaxed)).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_counted_in_the_bucket_of_its_time() {
        let numbers = Numbers::default();
        for millis in [5, 6, 90_000] {
            numbers.answered(Duration::from_millis(millis));
        }
        let counted: Vec<_> =
            numbers.lag().buckets().into_iter().filter(|(_, count)| 0 < *count).collect();
        assert_eq!(counted, [(0.005, 1), (0.01, 1), (f64::INFINITY, 1)]);
        assert_eq!((numbers.lag().count(), numbers.lag().sum()), (3, 90.011));
    }
}
