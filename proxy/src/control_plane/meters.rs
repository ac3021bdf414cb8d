//! What is counted of the control plane. A gateway without one does not have these.

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
    time::Duration,
};

/// What is counted of the control plane.
#[derive(Default)]
pub(super) struct Meters {
    /// Whether an operator is followed: 0 or 1.
    pub(super) connected: Gauge,
    pub(super) updates: Counter,
    pub(super) updates_refused: Counter,
    pub(super) resources_refused: Gauge,
    pub(super) copy_failures: Counter,
    resources: Family<KindLabels, Gauge>,
    last_word: LastWord,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

/// When the operator last said anything, be it that nothing has changed: in milliseconds of Unix
/// time, 0 for never.
#[derive(Clone, Debug, Default)]
struct LastWord(Arc<AtomicI64>);

impl Meters {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "control_connected",
            "Whether an operator is followed",
            self.connected.clone(),
        );
        registry.register(
            "control_updates",
            "Updates of the table that were put in force",
            self.updates.clone(),
        );
        registry.register(
            "control_updates_refused",
            "Updates of the table of which nothing was put in force",
            self.updates_refused.clone(),
        );
        registry.register(
            "control_resources_refused",
            "Documents of the table that are not in force now",
            self.resources_refused.clone(),
        );
        registry.register(
            "table_copy_failures",
            "Times that the copy of the table on disk could not be written or read",
            self.copy_failures.clone(),
        );
        registry.register("table_resources", "Resources in force", self.resources.clone());
        registry.register_collector(Box::new(self.last_word.clone()));
    }

    pub(super) fn resources(&self, kind: Kind, count: usize) {
        let labels = KindLabels { kind: kind.as_str() };
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.resources.get_or_create(&labels).set(count);
    }

    /// The operator said something, or had said it then.
    pub(super) fn heard(&self, at: Timestamp) {
        self.last_word.0.store(at.as_millisecond(), Ordering::Relaxed);
    }
}

impl Collector for LastWord {
    /// The age of the table. Before a table has come there is none.
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let last = self.0.load(Ordering::Relaxed);
        if last == 0 {
            return Ok(());
        }
        let millis = clock::wall().as_millisecond().saturating_sub(last);
        let age = Duration::from_millis(millis.try_into().unwrap_or_default());
        let age = ConstGauge::new(age.as_secs_f64());
        let help = "Since the operator last said anything, or since the copy on disk was written";
        let unit = Some(&Unit::Seconds);
        age.encode(encoder.encode_descriptor("control_table_age", help, unit, age.metric_type())?)
    }
}
