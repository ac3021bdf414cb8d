//! The metric families. Labels come from the route table or from an enum, never from a client.

use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{Metric, Registry, Unit},
};
use std::sync::Arc;

pub struct Metrics {
    pub requests: Family<RequestLabels, Counter>,
    pub rejections: Family<RejectionLabels, Counter>,
    pub first_byte: Family<RouteLabels, Histogram, Seconds>,
    pub duration: Family<RouteLabels, Histogram, Seconds>,
    pub tokens: Family<TokenLabels, Counter>,
    pub failed_attempts: Family<RouteLabels, Counter>,
    pub addresses_refused: Family<RouteLabels, Counter>,
    pub running: Gauge,
    pub usage_events_lost: Counter,
    pub tables_refused: Counter,
    pub table_revision: Gauge,
    pub connections_refused: Counter,
    registry: Mutex<Registry>,
}

/// The metrics of one route, looked up once and kept with it.
#[derive(Debug)]
pub struct RouteMetrics {
    pub first_byte: Histogram,
    pub duration: Histogram,
    pub input: Counter,
    pub output: Counter,
    pub cached: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route's id, `*`, or empty if none was resolved.
    pub route: Arc<str>,
    /// The operation, or empty.
    pub operation: &'static str,
    pub status: u16,
    pub end: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RejectionLabels {
    pub code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// The route's id, or `*`.
    pub route: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TokenLabels {
    /// The route's id, or `*`.
    pub route: Arc<str>,
    /// `input`, `output` or `cached`.
    pub direction: &'static str,
}

/// Histograms of times from a millisecond to ten minutes.
#[derive(Clone)]
pub struct Seconds;

const BUCKETS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 180.0,
    600.0,
];

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("llm_proxy");
        let it = &mut registry;
        Self {
            requests: counted(it, "requests", "Finished requests"),
            rejections: counted(it, "rejections", "Requests rejected by the gateway"),
            first_byte: timed(
                it,
                "time_to_first_token",
                "Time from the request's header to the first byte of the reply",
            ),
            duration: timed(
                it,
                "request_duration",
                "Time from the request's header to the last byte of the reply",
            ),
            tokens: counted(it, "tokens", "Tokens, by direction"),
            failed_attempts: counted(it, "failed_attempts", "Failed attempts at an endpoint"),
            addresses_refused: counted(
                it,
                "addresses_refused",
                "Attempts at an endpoint whose address is denied",
            ),
            running: counted(it, "requests_running", "Requests in flight"),
            usage_events_lost: counted(
                it,
                "usage_events_lost",
                "Usage events lost because the queue was full",
            ),
            tables_refused: counted(it, "tables_refused", "Tables rejected as invalid"),
            table_revision: counted(it, "table_revision", "Revision of the table in force"),
            connections_refused: counted(
                it,
                "connections_refused",
                "Connections closed at once because the limit was reached",
            ),
            registry: Mutex::new(registry),
        }
    }

    /// Registers metrics that only some gateways have.
    pub fn extend(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock());
    }

    pub fn route(&self, route: &Arc<str>) -> RouteMetrics {
        let labels = RouteLabels { route: Arc::clone(route) };
        let tokens = |direction| {
            let labels = TokenLabels { route: Arc::clone(route), direction };
            self.tokens.get_or_create_owned(&labels)
        };
        RouteMetrics {
            first_byte: self.first_byte.get_or_create_owned(&labels),
            duration: self.duration.get_or_create_owned(&labels),
            input: tokens("input"),
            output: tokens("output"),
            cached: tokens("cached"),
        }
    }

    /// The exposition text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry.lock());
        text
    }
}

fn counted<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn timed(
    registry: &mut Registry,
    name: &str,
    help: &str,
) -> Family<RouteLabels, Histogram, Seconds> {
    let family = Family::new_with_constructor(Seconds);
    registry.register_with_unit(name, help, Unit::Seconds, family.clone());
    family
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashboards_find_the_names_they_use() {
        let metrics = Metrics::new();
        metrics
            .requests
            .get_or_create(&RequestLabels {
                route: "qwen3".into(),
                operation: "chat",
                status: 200,
                end: "complete",
            })
            .inc();
        let route = RouteLabels { route: "qwen3".into() };
        metrics.first_byte.get_or_create(&route).observe(0.02);
        metrics
            .tokens
            .get_or_create(&TokenLabels { route: "qwen3".into(), direction: "output" })
            .inc_by(7);
        let text = metrics.text();
        for line in [
            r#"llm_proxy_requests_total{route="qwen3",operation="chat",status="200",end="complete"} 1"#,
            r#"llm_proxy_time_to_first_token_seconds_bucket{le="0.025",route="qwen3"} 1"#,
            r#"llm_proxy_tokens_total{route="qwen3",direction="output"} 7"#,
            "llm_proxy_requests_running 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
