//! Sends a request to one endpoint after the other, until one replies; relays its reply.

use super::exchange::{Exchange, ExchangeOutcome};
use crate::{
    clock,
    metrics::{Metrics, RouteLabels},
    response::{rejection::Rejection, request_error::RequestError, writer},
    stage::{
        accept::Operation,
        authorize::Permit,
        forward::UpstreamHead,
        pick::{Candidates, PickedEndpoint},
        relay::{self, Relay, ReplyHead},
        retry::{self, AttemptOutcome, FinalResponse},
    },
    upstream::{
        Endpoint, UpstreamError,
        address_policy::ResolveError,
        connection::{Connection, Connector},
    },
    usage::UsageFilter,
};
use bytes::{Bytes, BytesMut};
use llm_contract::Chain;
use pingora_core::protocols::http::ServerSession;
use std::{pin::pin, sync::Arc};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

/// What requests to upstreams share.
pub struct UpstreamClient {
    pub connector: Connector,
    pub metrics: Arc<Metrics>,
    /// Cancelled when running requests are cut off.
    pub cut: CancellationToken,
}

/// A request, for whichever endpoint takes it.
pub struct UpstreamRequest<'a> {
    pub permit: Permit<'a>,
    pub operation: &'static Operation,
    /// Without its prefix at the endpoint.
    pub path: &'a str,
    pub body: Bytes,
}

pub struct UpstreamReply<'a> {
    pub picked: PickedEndpoint<'a>,
    pub connection: Connection,
    pub head: ReplyHead,
}

impl UpstreamClient {
    /// Tries candidates until one replies. The client has been sent nothing yet.
    pub async fn send<'a>(
        &self,
        session: &mut ServerSession,
        exchange: &mut Exchange,
        mut candidates: Candidates<'a>,
        request: &UpstreamRequest<'_>,
    ) -> Result<UpstreamReply<'a>, RequestError> {
        let mut earlier = None;
        let mut picked = candidates.pick(&mut rand::rng())?;
        loop {
            let endpoint = picked.endpoint;
            exchange.endpoint = Some(Arc::clone(endpoint));
            exchange.attempts = candidates.attempts();
            let head = head(session, exchange, endpoint, request);
            let deadline = exchange.received_at + endpoint.timeouts.request;
            let result = tokio::select! {
                biased;
                result = self.attempt(endpoint, &head, &request.body) => result,
                idle = session.read_body_or_idle(true) => {
                    return Err(RequestError::client_gone(idle));
                }
                () = self.cut.cancelled() => return Err(Rejection::Overloaded.into()),
                () = sleep_until(deadline.into()) => return Err(Rejection::UpstreamTimeout.into()),
            };
            let outcome = match &result {
                Ok((_, head)) => AttemptOutcome::Reply(head.status()),
                Err(error) => error.into(),
            };
            if outcome.is_healthy() {
                endpoint.state.health.record_success();
            } else {
                endpoint.state.health.record_failure(clock::now());
            }
            let reply = match result {
                Ok((connection, head)) => Some(UpstreamReply { picked, connection, head }),
                Err(error) => {
                    self.report(&error, endpoint, request.permit);
                    None
                }
            };
            let Some(next) = candidates.pick_next(outcome, &mut rand::rng()) else {
                return self.conclude(exchange, outcome, reply, earlier).await;
            };
            earlier = reply.or(earlier);
            picked = next;
        }
    }

    async fn conclude<'a>(
        &self,
        exchange: &mut Exchange,
        outcome: AttemptOutcome,
        reply: Option<UpstreamReply<'a>>,
        earlier: Option<UpstreamReply<'a>>,
    ) -> Result<UpstreamReply<'a>, RequestError> {
        match outcome.final_response() {
            FinalResponse::Reply => reply.ok_or_else(|| Rejection::Internal.into()),
            FinalResponse::EarlierReplyOr(rejection) => earlier.ok_or_else(|| rejection.into()),
            FinalResponse::Rejection(rejection) => {
                if let Some(reply) = reply {
                    reply.record_head(exchange);
                    Box::pin(self.connector.release(reply.connection)).await;
                }
                Err(rejection.into())
            }
        }
    }

    /// Sends a request to one endpoint, again on a fresh connection if a pooled one was stale.
    async fn attempt(
        &self,
        endpoint: &Endpoint,
        head: &[u8],
        body: &Bytes,
    ) -> Result<(Connection, ReplyHead), UpstreamError> {
        let mut fresh = false;
        loop {
            let now = clock::now();
            let mut connection = self.connector.send(endpoint, (head, body), fresh, now).await?;
            match relay::peek(&mut connection).await {
                Err(error) if retry::needs_fresh_connection(&error, connection.may_be_stale()) => {
                    fresh = true;
                }
                peeked => return peeked.map(|head| (connection, head)),
            }
        }
    }

    fn report(&self, error: &UpstreamError, endpoint: &Endpoint, permit: Permit<'_>) {
        let labels = RouteLabels { route: Arc::clone(&permit.route().label) };
        self.metrics.failed_attempts.get_or_create(&labels).inc();
        if matches!(error, UpstreamError::Resolve(ResolveError::Denied { .. })) {
            self.metrics.addresses_refused.get_or_create(&labels).inc();
        }
        tracing::warn!(
            server.address = &*endpoint.name,
            gen_ai.request.model = &*labels.route,
            error = %Chain(error),
            "an attempt at an endpoint failed"
        );
    }
}

impl UpstreamReply<'_> {
    pub async fn relay(
        self,
        session: &mut ServerSession,
        exchange: &mut Exchange,
        filter: UsageFilter,
        client: &UpstreamClient,
    ) -> Result<ExchangeOutcome, RequestError> {
        self.record_head(exchange);
        let Self { picked, connection, head } = self;
        let UpstreamClient { connector, cut, .. } = client;
        let deadline = exchange.received_at + picked.endpoint.timeouts.request;
        let deadline = pin!(sleep_until(deadline.into()));
        match head {
            ReplyHead::Error(error) => {
                connector.release(connection).await;
                let (header, body) = error.response(picked.endpoint, &exchange.context)?;
                exchange.reply.status = Some(header.status);
                Box::pin(writer::send(session, header, body)).await?;
                Ok(ExchangeOutcome::Complete)
            }
            ReplyHead::Stream(buffered) => {
                let relay = Relay { session, connection, exchange, deadline, cut };
                Ok(relay.stream(buffered, filter, connector).await)
            }
            ReplyHead::Whole(buffered) => {
                let relay = Relay { session, connection, exchange, deadline, cut };
                Ok(relay.whole(buffered, connector).await)
            }
        }
    }

    fn record_head(&self, exchange: &mut Exchange) {
        exchange.reply.is_event_stream = matches!(self.head, ReplyHead::Stream(_));
        exchange.reply.first_byte_after = Some(clock::now().duration_since(exchange.received_at));
    }
}

fn head(
    session: &ServerSession,
    exchange: &Exchange,
    endpoint: &Endpoint,
    request: &UpstreamRequest<'_>,
) -> BytesMut {
    let client = session.req_header();
    let head = UpstreamHead {
        operation: request.operation,
        path: request.path,
        query: client.uri.query(),
        body_bytes: request.body.len(),
        client_id: &request.permit.principal().client_id(),
        request_id: &exchange.context.request_id,
    };
    head.to_bytes(&client.headers, endpoint)
}
