//! What is left to say: metrics, one line in the log, one usage event.

use crate::{
    metrics::{Metrics, RejectionLabels, RequestLabels},
    random_id,
    request::exchange::{End, Exchange},
};
use jiff::Timestamp;
use llm_contract::Upstream;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// What one exchange cost, and whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageEvent {
    /// Of this event alone: a ledger that sees it twice counts it once.
    pub id: String,
    /// The request id, which a client may choose.
    pub request: String,
    /// When it ended.
    pub time: Timestamp,
    /// The key's public part, for a request made with a key.
    pub key: Option<String>,
    /// The key's owner, or the user of the token.
    pub owner: String,
    /// The route's id, or `*`.
    pub model: String,
    /// `served` or `provider`.
    pub upstream: String,
    /// What was asked.
    pub operation: String,
    /// What the client was told.
    pub status: u16,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Of those read, found in a cache.
    pub cached_tokens: u64,
    /// Whether the upstream did not say, so that we counted.
    pub estimated: bool,
    /// From the header to the last byte.
    pub duration_ms: u64,
    /// From the header to the first byte of the reply.
    pub first_byte_ms: Option<u64>,
}

/// Records exchanges.
pub struct Recorder {
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
    events: mpsc::Sender<UsageEvent>,
}

impl Recorder {
    /// A recorder that hands usage events on. The channel's capacity is how many may wait; when
    /// it is full, events are counted as lost.
    pub fn new(metrics: Arc<Metrics>, events: mpsc::Sender<UsageEvent>) -> Self {
        Self { metrics, events }
    }

    /// An exchange begins.
    pub fn begin(&self) {
        self.metrics.running.inc();
    }

    /// An exchange ended, one way or another.
    pub fn end(&self, exchange: &Exchange) {
        self.metrics.running.dec();
        let elapsed = crate::clock::now().duration_since(exchange.received_at);
        self.count(exchange, elapsed);
        log(exchange, elapsed);
        if let Some(event) = event(exchange, elapsed, crate::clock::wall())
            && self.events.try_send(event).is_err()
        {
            self.metrics.usage_events_lost.inc();
        }
    }

    fn count(&self, exchange: &Exchange, elapsed: Duration) {
        let labels = RequestLabels {
            route: exchange.route.as_ref().map(|it| Arc::clone(&it.label)).unwrap_or_default(),
            operation: exchange.operation.map_or("", |operation| operation.name),
            status: status(exchange),
            end: exchange.end.name(),
        };
        self.metrics.requests.get_or_create(&labels).inc();
        if let End::Rejected(code) = exchange.end {
            self.metrics.rejections.get_or_create(&RejectionLabels { code }).inc();
        }
        let (Some(route), Some(first_byte)) = (&exchange.route, exchange.reply.first_byte_after)
        else {
            return;
        };
        let meters = route.meters.get_or_init(|| self.metrics.of_route(&route.label));
        meters.first_byte.observe(first_byte.as_secs_f64());
        meters.duration.observe(elapsed.as_secs_f64());
        if let Some(usage) = exchange.reply.usage {
            meters.input.inc_by(usage.input_tokens);
            meters.output.inc_by(usage.output_tokens);
            meters.cached.inc_by(usage.cached_tokens);
        }
    }
}

fn status(exchange: &Exchange) -> u16 {
    exchange.reply.status.map_or(0, |status| status.as_u16())
}

fn log(exchange: &Exchange, elapsed: Duration) {
    let usage = exchange.reply.usage;
    let rejection = if let End::Rejected(code) = exchange.end { Some(code) } else { None };
    tracing::info!(
        request.id = exchange.stamp.request_id.to_str().unwrap_or_default(),
        entry = ?exchange.entry,
        gen_ai.operation.name = exchange.operation.map(|operation| operation.name),
        gen_ai.request.model = exchange.route.as_ref().map(|route| &*route.label),
        http.response.status_code = status(exchange),
        end = exchange.end.name(),
        rejection,
        key.id = exchange.principal.as_ref().and_then(|it| it.key_id()),
        user.name = exchange.principal.as_ref().map(|it| it.name()),
        server.address = exchange.endpoint.as_ref().map(|endpoint| &*endpoint.name),
        attempts = exchange.attempts,
        stream = exchange.stream,
        gen_ai.usage.input_tokens = usage.map(|it| it.input_tokens),
        gen_ai.usage.output_tokens = usage.map(|it| it.output_tokens),
        first_byte_ms = exchange.reply.first_byte_after.map(millis),
        elapsed_ms = millis(elapsed),
        "request ended"
    );
}

/// The event of an exchange that reached an upstream; others cost nothing.
fn event(exchange: &Exchange, elapsed: Duration, now: Timestamp) -> Option<UsageEvent> {
    let (route, principal) = (exchange.route.as_ref()?, exchange.principal.as_ref()?);
    exchange.reply.first_byte_after?;
    let usage = exchange.reply.usage.unwrap_or_default();
    Some(UsageEvent {
        id: random_id::fresh(""),
        request: exchange.stamp.request_id.to_str().unwrap_or_default().to_owned(),
        time: now,
        key: principal.key_id().map(str::to_owned),
        owner: principal.name().to_owned(),
        model: route.label.to_string(),
        upstream: match route.route.upstream {
            Upstream::Served(_) => "served".to_owned(),
            Upstream::Provider(..) => "provider".to_owned(),
        },
        operation: exchange.operation.map_or("", |operation| operation.name).to_owned(),
        status: status(exchange),
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cached_tokens: usage.cached_tokens,
        estimated: usage.estimated,
        duration_ms: millis(elapsed),
        first_byte_ms: exchange.reply.first_byte_after.map(millis),
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
