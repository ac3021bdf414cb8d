//! Metrics of the push.

use prometheus_client::{
    metrics::{counter::Counter, histogram::Histogram},
    registry::{Registry, Unit},
};
use std::time::Duration;

/// Upper bounds of the buckets of [`Stats::lag`], in seconds.
const LAG_BOUNDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// Metrics of the push, for the registry of the program that serves it.
#[derive(Debug)]
pub struct Stats {
    /// Without heartbeats.
    pub updates: Counter,
    pub snapshots: Counter,
    pub bytes: Counter,
    pub rejected_documents: Counter,
    pub connections_refused: Counter,
    pub streams_failed: Counter,
    lag: Histogram,
}

impl Stats {
    pub(crate) fn new() -> Self {
        Self {
            updates: Counter::default(),
            snapshots: Counter::default(),
            bytes: Counter::default(),
            rejected_documents: Counter::default(),
            connections_refused: Counter::default(),
            streams_failed: Counter::default(),
            lag: Histogram::new(LAG_BOUNDS),
        }
    }

    pub fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            ("push_updates", "Updates sent to proxies", &self.updates),
            ("push_whole_tables", "Updates that were a snapshot of the table", &self.snapshots),
            ("push_sent_bytes", "Bytes of all updates", &self.bytes),
            ("push_refusals", "Documents that proxies rejected", &self.rejected_documents),
            ("push_connections_refused", "Connections over a limit", &self.connections_refused),
            ("push_streams_failed", "Streams refused or failed", &self.streams_failed),
        ] {
            registry.register(name, help, counter.clone());
        }
        let help = "Time from a change of the table until a proxy has applied it";
        registry.register_with_unit("push_lag", help, Unit::Seconds, self.lag.clone());
    }

    pub(crate) fn acknowledged(&self, took: Duration) {
        self.lag.observe(took.as_secs_f64());
    }
}

pub(crate) fn count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_is_counted_in_the_bucket_of_its_time() {
        let (stats, mut registry, mut text) = (Stats::new(), Registry::default(), String::new());
        stats.register(&mut registry);
        for millis in [5, 6, 90_000] {
            stats.acknowledged(Duration::from_millis(millis));
        }
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "push_lag_seconds_bucket{le=\"0.005\"} 1\n",
            "push_lag_seconds_bucket{le=\"0.01\"} 2\n",
            "push_lag_seconds_bucket{le=\"60.0\"} 2\n",
            "push_lag_seconds_bucket{le=\"+Inf\"} 3\n",
            "push_lag_seconds_count 3\n",
            "push_lag_seconds_sum 90.011\n",
            "push_updates_total 0\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
