//! The operator's metrics. Label values come from enums, never from the cluster.

use crate::{
    clock,
    cluster_state::{API_KEY, ClusterState, LLM_MODEL, PASSTHROUGH_MODEL},
    work_queue::WorkQueue,
};
use llm_contract::ResourceName;
use llm_push::{ProxyStatus, Push};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{
        MetricType,
        counter::ConstCounter,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};
use std::{fmt, sync::Arc};

#[derive(Debug)]
pub struct Metrics {
    pub leader: Gauge,
    registry: Registry,
}

impl Metrics {
    pub fn new(cluster: Arc<ClusterState>, push: Push) -> Self {
        let leader = Gauge::default();
        let mut registry = Registry::with_prefix("llm_operator");
        registry.register("leader", "Whether this replica is the leader (0 or 1)", leader.clone());
        registry.register_collector(Box::new(QueueCollector(cluster)));
        push.stats().register(&mut registry);
        registry.register_collector(Box::new(PushCollector(push)));
        Self { leader, registry }
    }

    /// In the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Reads the work queues at each scrape.
#[derive(Debug)]
struct QueueCollector(Arc<ClusterState>);

impl Collector for QueueCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let queues = &self.0.queues;
        let queues = [
            (LLM_MODEL, &queues.models),
            (PASSTHROUGH_MODEL, &queues.providers),
            (API_KEY, &queues.keys),
        ];
        type Count = fn(&WorkQueue<ResourceName>) -> u64;
        let counters: [(&str, &str, Count); 2] = [
            ("reconciles", "Reconciliations", WorkQueue::reconcile_count),
            ("reconcile_errors", "Reconciliations that are retried", WorkQueue::retry_count),
        ];
        for (name, help, count) in counters {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (kind, queue) in queues {
                let counter = ConstCounter::new(count(queue));
                counter.encode(family.encode_family(&[("kind", kind)])?)?;
            }
        }
        let help = "Resources that wait to be reconciled";
        let mut family = encoder.encode_descriptor("queued", help, None, MetricType::Gauge)?;
        for (kind, queue) in queues {
            let gauge = ConstGauge::new(i64::try_from(queue.waiting_count()).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&[("kind", kind)])?)?;
        }
        Ok(())
    }
}

/// Reads the push at each scrape.
struct PushCollector(Push);

impl Collector for PushCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(push) = self;
        let proxies = push.proxies().list(clock::now());
        let count = |wanted: &dyn Fn(&ProxyStatus) -> bool| {
            i64::try_from(proxies.iter().filter(|it| wanted(it)).count()).unwrap_or(i64::MAX)
        };
        let too_large = i64::try_from(push.table().oversized()).unwrap_or(i64::MAX);
        let follows = |it: &ProxyStatus| it.connected && it.follows;
        for (name, help, value) in [
            ("proxies_connected", "Connected proxies", count(&|it| it.connected)),
            ("proxies_following", "Proxies subscribed to this replica", count(&follows)),
            ("proxies_lagging", "Proxies late to acknowledge an update", count(&|it| it.lagging)),
            ("push_documents_too_large", "Documents too large to push", too_large),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for PushCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushCollector")
    }
}
