//! The data plane: its state, and the path of a request from one stage to the next.
//!
//! Pingora accepts connections, speaks HTTP/1.1 and HTTP/2, and passes on one request at a time.

use crate::{
    auth::oidc::{InvalidIssuer, IssuerConfig},
    clock,
    metrics::Metrics,
    request::{
        call::Call,
        exchange::{Exchange, ExchangeOutcome},
        inference, list_models, preflight,
        stored_responses::{self, StoredResponses},
        upstream_attempts::UpstreamClient,
    },
    response::{
        context::ResponseContext, rejection::Rejection, request_error::RequestError, writer,
    },
    stage::{
        accept::{self, Entry, Request},
        authenticate::Authenticator,
        read::{BodyBudget, BodyLimits},
        record::{Recorder, UsageEvent},
    },
    tables::{Snapshot, Tables},
    upstream::{AddressPolicy, connection::Connector, probe},
};
use bytes::Bytes;
use jiff::Timestamp;
use llm_contract::Table;
use pingora_core::protocols::http::ServerSession;
use std::sync::Arc;
use tokio::{runtime::Handle, sync::mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The data plane, shared by both entries.
pub struct Gateway {
    pub tables: Tables,
    pub authenticator: Authenticator,
    pub limits: ServerLimits,
    pub metrics: Arc<Metrics>,
    /// The creation time of every model in lists.
    pub started_at: Timestamp,
    /// Cancelled when no new requests are accepted.
    pub drain: CancellationToken,
    /// Cancelled when running requests are cut off.
    pub cut: CancellationToken,
    /// The running requests.
    pub requests: TaskTracker,
    /// Tasks that run as long as the process.
    pub background: TaskTracker,
    upstreams: UpstreamClient,
    responses: StoredResponses,
    bodies: BodyBudget,
    recorder: Recorder,
}

#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// The largest header, in bytes.
    pub header_bytes: usize,
    /// Connections of clients, on each entry.
    pub connections: usize,
    pub body: BodyLimits,
}

impl Gateway {
    /// A gateway without a table yet.
    pub fn new(
        authenticator: Authenticator,
        limits: ServerLimits,
        policy: AddressPolicy,
        events: mpsc::Sender<UsageEvent>,
    ) -> Arc<Self> {
        let metrics = Arc::new(Metrics::new());
        let (connector, cut) = (Connector::new(policy), CancellationToken::new());
        let gateway = Arc::new(Self {
            tables: Tables::empty(),
            authenticator,
            limits,
            recorder: Recorder::new(Arc::clone(&metrics), events),
            started_at: clock::wall(),
            drain: CancellationToken::new(),
            requests: TaskTracker::new(),
            background: TaskTracker::new(),
            responses: StoredResponses::default(),
            bodies: BodyBudget::new(limits.body),
            upstreams: UpstreamClient {
                connector,
                metrics: Arc::clone(&metrics),
                cut: cut.clone(),
            },
            metrics,
            cut,
        });
        let probing = Arc::clone(&gateway);
        gateway.background.spawn(async move {
            let probes = probe::run(&probing.tables, &probing.upstreams.connector);
            probing.drain.run_until_cancelled(probes).await;
        });
        gateway
    }

    /// Puts a table in force, unless an issuer is invalid; running requests keep the one they
    /// began with.
    pub fn update(&self, table: Table) -> Result<(), InvalidIssuer> {
        let issuers = table.issuers.iter().map(IssuerConfig::from).collect();
        self.authenticator.issuers.update(issuers, &Handle::current())?;
        self.metrics.table_revision.set(i64::try_from(table.revision).unwrap_or(i64::MAX));
        self.tables.update(table);
        Ok(())
    }

    /// Serves one request. Returns whether the connection can serve another.
    pub async fn serve(&self, session: &mut ServerSession, entry: Entry) -> bool {
        let tables = self.tables.snapshot();
        let header = session.req_header();
        let origins = &tables.settings.cors;
        let context = ResponseContext::new(header.uri.path(), &header.headers, origins);
        let mut recorded = self.recorder.start(Exchange::new(entry, context, clock::now()));
        let exchange = &mut recorded.exchange;
        match self.handle(session, exchange, &tables).await {
            Ok(outcome) => exchange.outcome = outcome,
            Err(RequestError::Rejected(rejection)) => {
                exchange.reject(&rejection);
                // Boxed, as all that is rare: its state would make every request's larger.
                let sent = writer::send_rejection(session, &rejection, &exchange.context);
                return Box::pin(sent).await.is_ok();
            }
            Err(RequestError::ClientGone(_)) => exchange.outcome = ExchangeOutcome::ClientGone,
        }
        exchange.is_response_complete()
    }

    async fn handle(
        &self,
        session: &mut ServerSession,
        exchange: &mut Exchange,
        snapshot: &Snapshot,
    ) -> Result<ExchangeOutcome, RequestError> {
        let request = self.accept(session)?;
        if request == Request::Preflight {
            let response = preflight::response(&exchange.context)?;
            Box::pin(writer::send(session, response, Bytes::new())).await?;
            return Ok(exchange.answered());
        }
        let headers = &session.req_header().headers;
        let now = clock::wall();
        let principal =
            &self.authenticator.principal(exchange.entry, headers, snapshot, now).await?;
        exchange.principal = Some(principal.clone());
        let dialect = exchange.context.dialect;
        let Self { tables, bodies, responses, upstreams, started_at, .. } = self;
        let body = match request {
            Request::Infer(operation) => {
                let call = Call { session, exchange, snapshot, principal, operation };
                return inference::infer(call, tables, bodies, responses, upstreams).await;
            }
            Request::StoredResponse { operation, id } => {
                let call = Call { session, exchange, snapshot, principal, operation };
                let reply =
                    stored_responses::stored_response(call, &id, bodies, responses, upstreams);
                return Box::pin(reply).await;
            }
            Request::ListModels => list_models::list(snapshot, principal, dialect, *started_at),
            Request::ShowModel(id) => {
                list_models::one(snapshot, principal, &id, dialect, *started_at)?
            }
            Request::Preflight => return Err(Rejection::Internal.into()),
        };
        let header = writer::json_header(http::StatusCode::OK, body.len(), &exchange.context)?;
        Box::pin(writer::send(session, header, body.into())).await?;
        Ok(exchange.answered())
    }

    fn accept(&self, session: &ServerSession) -> Result<Request, Rejection> {
        let header = session.req_header();
        let raw = session.as_http1().map(|_| session.to_h1_raw()).unwrap_or_default();
        let bytes_max = self.limits.header_bytes;
        if bytes_max < raw.len() {
            return Err(Rejection::HeaderTooLarge { bytes_max });
        }
        accept::framing(&header.headers, &raw)?;
        accept::request(&header.method, header.uri.path(), &header.headers)
    }
}
