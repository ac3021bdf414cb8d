//! Asking endpoints, one after the other, until one answers.

use crate::{
    clock,
    gateway::Shared,
    metrics::RouteLabels,
    request::exchange::Exchange,
    response::{rejection::Rejection, request_error::Halt},
    stage::{
        accept::Operation,
        authorize::Permit,
        forward,
        pick::{Choice, Picked},
        relay::{self, First},
    },
    upstream::{
        address_policy::NoAddress,
        connection::{Connection, Failure},
    },
};
use bytes::{Bytes, BytesMut};
use llm_contract::Chain;
use pingora_core::protocols::http::ServerSession;
use std::sync::Arc;
use tokio::time::sleep_until;

/// A request as it goes to whichever endpoint takes it.
pub struct Outgoing<'a> {
    /// Proof that it may.
    pub permit: &'a Permit,
    /// What is asked.
    pub operation: &'static Operation,
    /// The path as upstreams know it.
    pub path: &'a str,
    /// The body as upstreams see it.
    pub body: Bytes,
}

/// An endpoint that answered.
pub struct Answered {
    /// Counts as running there until dropped.
    pub picked: Picked,
    /// Where the rest of the answer comes from.
    pub connection: Connection,
    /// What it turned out to be.
    pub first: First,
}

impl Shared {
    /// Sends a request to one endpoint after the other, until one answers. The client has been
    /// told nothing yet.
    ///
    /// # Errors
    /// If none does, or the client goes away.
    pub async fn attempt(
        &self,
        session: &mut ServerSession,
        exchange: &mut Exchange,
        mut choice: Choice,
        outgoing: &Outgoing<'_>,
    ) -> Result<Answered, Halt> {
        let mut busy = None;
        loop {
            let picked = match choice.next(&mut rand::rng()) {
                Ok(picked) => picked,
                // What a busy one says helps the client more than that the others failed.
                Err(none) => return busy.ok_or_else(|| none.into()),
            };
            exchange.endpoint = Some(Arc::clone(&picked.endpoint));
            exchange.attempts = choice.attempts();
            let head = head(session, exchange, &picked, outgoing);
            let deadline = exchange.received_at + picked.endpoint.timeouts.request;
            let answered = tokio::select! {
                biased;
                answered = self.ask(&head, &picked, outgoing) => answered,
                gone = session.read_body_or_idle(true) => return Err(Halt::left(gone)),
                () = self.cut.cancelled() => return Err(Rejection::Saturated.into()),
                () = sleep_until(deadline.into()) => return Err(Rejection::UpstreamTooSlow.into()),
            };
            let failure = match answered {
                Ok((connection, first)) => {
                    picked.endpoint.state.health.succeeded();
                    let answered = Answered { picked, connection, first };
                    if !answered.first.is_busy() {
                        return Ok(answered);
                    }
                    choice.sent();
                    busy = Some(answered);
                    continue;
                }
                Err(failure) => failure,
            };
            self.note(&failure, &picked, outgoing.permit);
            if failure.is_timeout() && !(failure.is_before_sending() && choice.has_more()) {
                return Err(Rejection::UpstreamTooSlow.into());
            }
            if !failure.is_before_sending() {
                choice.sent();
            }
        }
    }

    /// Asks one endpoint. A connection that had been idle may have been closed in the meantime;
    /// that says nothing about the endpoint, which is asked once more on a fresh one.
    async fn ask(
        &self,
        head: &[u8],
        picked: &Picked,
        outgoing: &Outgoing<'_>,
    ) -> Result<(Connection, First), Failure> {
        let mut fresh = false;
        loop {
            let request = (head, &outgoing.body);
            let mut connection =
                self.connector.send(&picked.endpoint, request, fresh, clock::now()).await?;
            match relay::look(&mut connection).await {
                Err(Failure::Broken(_) | Failure::Nonsense) if connection.may_be_stale() => {
                    fresh = true;
                }
                looked => return looked.map(|first| (connection, first)),
            }
        }
    }

    fn note(&self, failure: &Failure, picked: &Picked, permit: &Permit) {
        picked.endpoint.state.health.failed(clock::now());
        let route = Arc::clone(&permit.route().label);
        let labels = RouteLabels { route };
        self.metrics.failed_attempts.get_or_create(&labels).inc();
        if matches!(failure, Failure::Address(NoAddress::Near { .. })) {
            self.metrics.addresses_refused.get_or_create(&labels).inc();
        }
        tracing::warn!(
            server.address = &*picked.endpoint.name,
            gen_ai.request.model = &*permit.route().label,
            error = %Chain(failure),
            "an endpoint failed"
        );
    }
}

fn head(
    session: &ServerSession,
    exchange: &Exchange,
    picked: &Picked,
    outgoing: &Outgoing<'_>,
) -> BytesMut {
    let client = session.req_header();
    let line = forward::Line {
        operation: outgoing.operation,
        path: outgoing.path,
        query: client.uri.query(),
        body_bytes: outgoing.body.len(),
    };
    let identity = forward::Identity {
        client_id: &outgoing.permit.principal().client_id(),
        request_id: &exchange.stamp.request_id,
    };
    forward::head(&line, &client.headers, &picked.endpoint, &identity)
}
