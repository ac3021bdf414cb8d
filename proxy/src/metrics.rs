//! The metric families, in one struct. Labels come from the route table or from an enum, never
//! from a client.

use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};
use std::sync::Arc;

/// Everything that is counted.
pub struct Metrics {
    /// Exchanges that ended.
    pub requests: Family<RequestLabels, Counter>,
    /// Our refusals.
    pub rejections: Family<RejectionLabels, Counter>,
    /// From the request's header to the reply's first byte.
    pub first_byte: Family<RouteLabels, Histogram, Seconds>,
    /// From the request's header to the reply's last byte.
    pub duration: Family<RouteLabels, Histogram, Seconds>,
    /// Tokens read, written, and found in a cache.
    pub tokens: Family<TokenLabels, Counter>,
    /// Attempts that failed.
    pub failed_attempts: Family<RouteLabels, Counter>,
    /// Attempts at an endpoint that is where upstreams may not be.
    pub addresses_refused: Family<RouteLabels, Counter>,
    /// Exchanges that run.
    pub running: Gauge,
    /// Usage events that could not be handed on.
    pub usage_events_lost: Counter,
    /// Tables that did not parse.
    pub tables_refused: Counter,
    /// The revision of the table in force.
    pub table_revision: Gauge,
    /// Connections that were closed at once because there were too many.
    pub connections_refused: Counter,
    registry: Mutex<Registry>,
}

/// What is counted of one route, found once and kept with it.
#[derive(Debug)]
pub struct Meters {
    /// From the request's header to the reply's first byte.
    pub first_byte: Histogram,
    /// From the request's header to the reply's last byte.
    pub duration: Histogram,
    /// Tokens read.
    pub input: Counter,
    /// Tokens written.
    pub output: Counter,
    /// Tokens read that were found in a cache.
    pub cached: Counter,
}

/// What an exchange was, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route's id, `*`, or empty if it came to none.
    pub route: Arc<str>,
    /// The operation, or empty.
    pub operation: &'static str,
    /// What the client was told.
    pub status: u16,
    /// How it ended.
    pub end: &'static str,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RejectionLabels {
    /// Its code.
    pub code: &'static str,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// Its id, or `*`.
    pub route: Arc<str>,
}

/// Tokens of a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TokenLabels {
    /// The route's id, or `*`.
    pub route: Arc<str>,
    /// `input`, `output` or `cached`.
    pub direction: &'static str,
}

/// Makes histograms of times from a millisecond to ten minutes.
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
    /// All at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            requests: Family::default(),
            rejections: Family::default(),
            first_byte: Family::new_with_constructor(Seconds),
            duration: Family::new_with_constructor(Seconds),
            tokens: Family::default(),
            failed_attempts: Family::default(),
            addresses_refused: Family::default(),
            running: Gauge::default(),
            usage_events_lost: Counter::default(),
            tables_refused: Counter::default(),
            table_revision: Gauge::default(),
            connections_refused: Counter::default(),
            registry: Mutex::new(Registry::with_prefix("llm_proxy")),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let it = self.registry.get_mut();
        it.register("requests", "Exchanges that ended", self.requests.clone());
        it.register("rejections", "Requests refused by the gateway", self.rejections.clone());
        it.register_with_unit(
            "time_to_first_token",
            "From the request's header to the first byte of the reply",
            Unit::Seconds,
            self.first_byte.clone(),
        );
        it.register_with_unit(
            "request_duration",
            "From the request's header to the last byte of the reply",
            Unit::Seconds,
            self.duration.clone(),
        );
        it.register("tokens", "Tokens, by direction", self.tokens.clone());
        it.register(
            "failed_attempts",
            "Attempts at an endpoint that failed",
            self.failed_attempts.clone(),
        );
        it.register(
            "addresses_refused",
            "Attempts at an endpoint whose address is not for upstreams",
            self.addresses_refused.clone(),
        );
        it.register("requests_running", "Exchanges that run now", self.running.clone());
        it.register(
            "usage_events_lost",
            "Usage events that could not be handed on",
            self.usage_events_lost.clone(),
        );
        it.register("tables_refused", "Tables that did not parse", self.tables_refused.clone());
        it.register("table_revision", "The table in force", self.table_revision.clone());
        it.register(
            "connections_refused",
            "Connections closed at once because there were too many",
            self.connections_refused.clone(),
        );
    }

    /// Adds what only some gateways count.
    pub fn extend(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock());
    }

    /// What is counted of one route.
    pub fn of_route(&self, route: &Arc<str>) -> Meters {
        let labels = RouteLabels { route: Arc::clone(route) };
        let tokens = |direction| {
            let labels = TokenLabels { route: Arc::clone(route), direction };
            self.tokens.get_or_create_owned(&labels)
        };
        Meters {
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
