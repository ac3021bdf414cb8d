//! What is recorded? Metrics, one line in the log, one usage event.

use crate::{
    clock,
    metrics::{Metrics, RejectionLabels, RequestLabels},
    random_id::random_id,
    request::exchange::{Exchange, ExchangeOutcome},
};
use jiff::Timestamp;
use llm_contract::Upstream;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// A line of the usage ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageEvent {
    /// Of this event alone, so that a ledger which gets it twice counts it once.
    pub id: String,
    /// The request id, which a client may choose.
    pub request: String,
    /// When the exchange ended.
    pub time: Timestamp,
    /// The key's public part, for a request made with a key.
    pub key: Option<String>,
    /// The key's owner, or the token's user.
    pub owner: String,
    /// The route's id, or `*`.
    pub model: String,
    /// `served` or `provider`.
    pub upstream: String,
    pub operation: String,
    /// What the client was sent.
    pub status: u16,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Part of the input tokens.
    pub cached_tokens: u64,
    /// Whether we counted because the upstream did not report it.
    pub estimated: bool,
    /// From the request's header to the reply's last byte.
    pub duration_ms: u64,
    /// From the request's header to the reply's first byte.
    pub first_byte_ms: Option<u64>,
}

pub struct Recorder {
    pub metrics: Arc<Metrics>,
    events: mpsc::Sender<UsageEvent>,
}

/// An exchange that is recorded when dropped: once, however it ended.
pub struct Recorded<'a> {
    pub exchange: Exchange,
    recorder: &'a Recorder,
}

impl Recorder {
    /// When the channel of usage events is full, they are counted as lost.
    pub fn new(metrics: Arc<Metrics>, events: mpsc::Sender<UsageEvent>) -> Self {
        Self { metrics, events }
    }

    pub fn start(&self, exchange: Exchange) -> Recorded<'_> {
        self.metrics.running.inc();
        Recorded { exchange, recorder: self }
    }

    fn record(&self, exchange: &Exchange) {
        self.metrics.running.dec();
        let elapsed = clock::now().duration_since(exchange.received_at);
        self.count(exchange, elapsed);
        log(exchange, elapsed);
        if let Some(event) = event(exchange, elapsed, clock::wall())
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
            end: exchange.outcome.name(),
        };
        self.metrics.requests.get_or_create(&labels).inc();
        if let ExchangeOutcome::Rejected(code) = exchange.outcome {
            self.metrics.rejections.get_or_create(&RejectionLabels { code }).inc();
        }
        let (Some(route), Some(first_byte)) = (&exchange.route, exchange.reply.first_byte_after)
        else {
            return;
        };
        let metrics = route.metrics.get_or_init(|| self.metrics.route(&route.label));
        metrics.first_byte.observe(first_byte.as_secs_f64());
        metrics.duration.observe(elapsed.as_secs_f64());
        if let Some(usage) = exchange.reply.usage {
            metrics.input.inc_by(usage.input_tokens);
            metrics.output.inc_by(usage.output_tokens);
            metrics.cached.inc_by(usage.cached_tokens);
        }
    }
}

impl Drop for Recorded<'_> {
    fn drop(&mut self) {
        self.recorder.record(&self.exchange);
    }
}

fn status(exchange: &Exchange) -> u16 {
    exchange.reply.status.map_or(0, |status| status.as_u16())
}

fn log(exchange: &Exchange, elapsed: Duration) {
    let usage = exchange.reply.usage;
    let rejection =
        if let ExchangeOutcome::Rejected(code) = exchange.outcome { Some(code) } else { None };
    tracing::info!(
        request.id = exchange.context.request_id.to_str().unwrap_or_default(),
        entry = ?exchange.entry,
        gen_ai.operation.name = exchange.operation.map(|operation| operation.name),
        gen_ai.request.model = exchange.route.as_ref().map(|route| &*route.label),
        http.response.status_code = status(exchange),
        end = exchange.outcome.name(),
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

/// The event of an exchange with a reply of an upstream; others cost nothing.
fn event(exchange: &Exchange, elapsed: Duration, now: Timestamp) -> Option<UsageEvent> {
    let (route, principal) = (exchange.route.as_ref()?, exchange.principal.as_ref()?);
    exchange.reply.first_byte_after?;
    let usage = exchange.reply.usage.unwrap_or_default();
    Some(UsageEvent {
        id: random_id(""),
        request: exchange.context.request_id.to_str().unwrap_or_default().to_owned(),
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
