//! The operator's metrics. Labels come from enums, never from a cluster.

use crate::{clock, cluster_state::World};
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
use std::fmt;

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    /// Whether this replica leads.
    pub leads: Gauge,
    registry: Registry,
}

impl Metrics {
    /// Reads what is counted elsewhere when somebody asks.
    pub fn new(world: World, push: Push) -> Self {
        let leads = Gauge::default();
        let mut registry = Registry::with_prefix("llm_operator");
        registry.register("leader", "Whether this replica leads: 0 or 1", leads.clone());
        registry.register_collector(Box::new(Queues(world)));
        push.stats().register(&mut registry);
        registry.register_collector(Box::new(Pushed(push)));
        Self { leads, registry }
    }

    /// All of it as OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// What is looked at, by kind of resource.
#[derive(Debug)]
struct Queues(World);

impl Collector for Queues {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let queues = &self.0.queues;
        let all = [
            ("LLMModel", &queues.models),
            ("PassthroughModel", &queues.providers),
            ("ApiKey", &queues.keys),
        ];
        let mut looks = encoder.encode_descriptor(
            "reconciles",
            "Looks at resources",
            None,
            MetricType::Counter,
        )?;
        for (kind, queue) in all {
            let count = ConstCounter::new(queue.looks());
            count.encode(looks.encode_family(&[("kind", kind)])?)?;
        }
        let help = "Looks that failed and are tried again";
        let mut retries =
            encoder.encode_descriptor("reconcile_errors", help, None, MetricType::Counter)?;
        for (kind, queue) in all {
            let count = ConstCounter::new(queue.retries());
            count.encode(retries.encode_family(&[("kind", kind)])?)?;
        }
        let help = "Resources that wait to be looked at";
        let mut waiting = encoder.encode_descriptor("queued", help, None, MetricType::Gauge)?;
        for (kind, queue) in all {
            let count = ConstGauge::new(i64::try_from(queue.len()).unwrap_or(i64::MAX));
            count.encode(waiting.encode_family(&[("kind", kind)])?)?;
        }
        Ok(())
    }
}

/// What the push counts.
struct Pushed(Push);

impl Collector for Pushed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(push) = self;
        let proxies = push.proxies().list(clock::now());
        let count = |wanted: &dyn Fn(&ProxyStatus) -> bool| {
            i64::try_from(proxies.iter().filter(|it| wanted(it)).count()).unwrap_or(i64::MAX)
        };
        let too_large = i64::try_from(push.table().oversized()).unwrap_or(i64::MAX);
        let follows = |it: &ProxyStatus| it.connected && it.follows;
        for (name, help, value) in [
            ("proxies_connected", "Proxies that are connected", count(&|it| it.connected)),
            ("proxies_following", "Proxies that this replica updates", count(&follows)),
            ("proxies_lagging", "Proxies that take too long to answer", count(&|it| it.lagging)),
            ("push_documents_too_large", "Documents that are too large to be pushed", too_large),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Pushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pushed")
    }
}
