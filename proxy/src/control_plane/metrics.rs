//! Metrics of the control plane; a gateway without an operator does not export them.

use crate::clock;
use jiff::Timestamp;
use llm_contract::push::Kind;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::{Registry, Unit},
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

#[derive(Default)]
pub(super) struct ControlMetrics {
    /// 0 or 1.
    pub(super) connected: Gauge,
    pub(super) updates: Counter,
    pub(super) updates_rejected: Counter,
    pub(super) cache_failures: Counter,
    documents_rejected: Gauge,
    resources: Family<KindLabels, Gauge>,
    table_age: TableAge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

/// The time of the operator's last message, in milliseconds of Unix time; 0 for none.
#[derive(Clone, Debug, Default)]
struct TableAge(Arc<AtomicI64>);

impl ControlMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, help, gauge) in [
            ("control_connected", "Whether an operator is connected", &self.connected),
            (
                "control_resources_refused",
                "Documents that are currently rejected",
                &self.documents_rejected,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        for (name, help, counter) in [
            ("control_updates", "Updates of the table that were applied", &self.updates),
            ("control_updates_refused", "Updates that were rejected", &self.updates_rejected),
            (
                "table_copy_failures",
                "Failures to read or write the cached table",
                &self.cache_failures,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register("table_resources", "Applied resources", self.resources.clone());
        registry.register_collector(Box::new(self.table_age.clone()));
    }

    pub(super) fn set_resources(&self, kind: Kind, count: usize) {
        let labels = KindLabels { kind: kind.as_str() };
        self.resources.get_or_create(&labels).set(saturating(count));
    }

    pub(super) fn set_rejected(&self, count: usize) {
        self.documents_rejected.set(saturating(count));
    }

    pub(super) fn last_message(&self, at: Timestamp) {
        self.table_age.0.store(at.as_millisecond(), Ordering::Relaxed);
    }
}

fn saturating(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Collector for TableAge {
    /// Nothing before there is a table.
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let last = self.0.load(Ordering::Relaxed);
        if last == 0 {
            return Ok(());
        }
        let age =
            clock::wall().duration_since(Timestamp::from_millisecond(last).unwrap_or_default());
        let age = ConstGauge::new(age.as_secs_f64().max(0.0));
        let help = "Since the operator's last message, or since the cached table was written";
        let unit = Some(&Unit::Seconds);
        age.encode(encoder.encode_descriptor("control_table_age", help, unit, age.metric_type())?)
    }
}
