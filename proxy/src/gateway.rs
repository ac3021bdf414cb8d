//! The path of a request, from one stage to the next. Each stage decides; this only leads on.
//!
//! Pingora accepts connections, speaks HTTP/1.1 and HTTP/2 and hands over one request at a time.

use crate::{
    auth::oidc::{InvalidIssuer, IssuerConfig},
    clock,
    metrics::Metrics,
    random_id,
    request::{
        exchange::{End, Exchange},
        list_models, preflight,
        stored_responses::Responses,
    },
    response::{
        rejection::Rejection,
        request_error::Halt,
        writer::{self, Stamp},
    },
    stage::{
        accept::{self, Entry, Request},
        authenticate::Authenticator,
        read::{self, Held},
        record::{Recorder, UsageEvent},
    },
    tables::{Snapshot, Tables},
    upstream::{Reach, connection::Connector, probe},
};
use bytes::Bytes;
use http::HeaderValue;
use jiff::Timestamp;
use llm_contract::Table;
use pingora_core::protocols::http::ServerSession;
use std::sync::Arc;
use tokio::{runtime::Handle, sync::mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What both entries share.
pub struct Shared {
    /// What is in force.
    pub tables: Tables,
    /// Who asks.
    pub authenticator: Authenticator,
    /// How much is held.
    pub limits: Limits,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where stored responses are.
    pub responses: Responses,
    /// When the process started: the age of every model, as lists tell it.
    pub started_at: Timestamp,
    /// Cancelled when no new request is taken.
    pub drain: CancellationToken,
    /// Cancelled when running ones are cut off.
    pub cut: CancellationToken,
    /// The requests that run.
    pub requests: TaskTracker,
    /// What runs beside them, for as long as the process.
    pub background: TaskTracker,
    pub(crate) connector: Connector,
    recorder: Arc<Recorder>,
    pub(crate) held: Held,
}

/// What is held of requests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest header, in bytes.
    pub header_bytes: usize,
    /// Connections of clients, on each entry.
    pub connections: usize,
    /// Bodies.
    pub read: read::Limits,
}

impl Shared {
    /// A gateway with nothing in force yet, whose upstreams may have these addresses.
    pub fn new(
        authenticator: Authenticator,
        limits: Limits,
        reach: Reach,
        events: mpsc::Sender<UsageEvent>,
    ) -> Arc<Self> {
        let metrics = Arc::new(Metrics::new());
        let shared = Arc::new(Self {
            tables: Tables::empty(),
            authenticator,
            limits,
            recorder: Arc::new(Recorder::new(Arc::clone(&metrics), events)),
            metrics,
            responses: Responses::default(),
            started_at: clock::wall(),
            drain: CancellationToken::new(),
            cut: CancellationToken::new(),
            requests: TaskTracker::new(),
            background: TaskTracker::new(),
            connector: Connector::new(reach),
            held: Held::default(),
        });
        let probing = Arc::clone(&shared);
        shared.background.spawn(async move {
            let stopped = probing.drain.cancelled();
            tokio::select! {
                () = probe::run(&probing.tables, &probing.connector) => {}
                () = stopped => {}
            }
        });
        shared
    }

    /// Puts a table in force; requests that run keep the one they began with.
    ///
    /// # Errors
    /// If an issuer cannot be used; then nothing changes.
    pub fn update(&self, table: Table) -> Result<(), InvalidIssuer> {
        let issuers = table.issuers.iter().map(IssuerConfig::from).collect();
        self.authenticator.issuers.update(issuers, &Handle::current())?;
        self.metrics.table_revision.set(i64::try_from(table.revision).unwrap_or(i64::MAX));
        self.tables.update(table);
        Ok(())
    }

    /// Answers one request; the connection may serve another if the answer is whole.
    pub async fn serve(&self, session: &mut ServerSession, entry: Entry) -> bool {
        let tables = self.tables.snapshot();
        let header = session.req_header();
        let origins = &tables.settings.cors;
        let stamp = Stamp::new(header.uri.path(), &header.headers, origins, fresh_request_id);
        let mut exchange = Exchange::begin(Arc::clone(&self.recorder), entry, stamp, clock::now());
        match self.admit(session, &mut exchange, &tables).await {
            Ok(end) => exchange.end = end,
            Err(Halt::Rejected(rejection)) => {
                exchange.reject(&rejection);
                // Boxed, as whatever is rare: its state would make every request's larger.
                let sent = Box::pin(rejection.send(session, &exchange.stamp)).await;
                return sent.is_ok();
            }
            Err(Halt::Gone(_)) => exchange.end = End::ClientGone,
        }
        exchange.is_whole()
    }

    async fn admit(
        &self,
        session: &mut ServerSession,
        exchange: &mut Exchange,
        tables: &Snapshot,
    ) -> Result<End, Halt> {
        let request = self.accept(session)?;
        if request == Request::Preflight {
            Box::pin(writer::send(session, preflight::answer(&exchange.stamp)?, Bytes::new()))
                .await?;
            return Ok(exchange.answered());
        }
        let headers = &session.req_header().headers;
        let now = clock::wall();
        let principal = self.authenticator.principal(exchange.entry, headers, tables, now).await?;
        exchange.principal = Some(principal.clone());
        let dialect = exchange.stamp.dialect;
        let body = match request {
            Request::Ask(operation) => {
                return self.ask_model(session, exchange, tables, &principal, operation).await;
            }
            Request::Stored { operation, id } => {
                let asked = self.ask_home(session, exchange, tables, &principal, operation, &id);
                return Box::pin(asked).await;
            }
            Request::ListModels => list_models::list(tables, &principal, dialect, self.started_at),
            Request::ShowModel(id) => {
                list_models::one(tables, &principal, &id, dialect, self.started_at)?
            }
            Request::Preflight => return Err(Rejection::Defect.into()),
        };
        let header = writer::json_header(http::StatusCode::OK, body.len(), &exchange.stamp)?;
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

/// `req-` and 32 hexadecimal digits.
pub(crate) fn fresh_request_id() -> HeaderValue {
    HeaderValue::from_str(&random_id::fresh("req-")).unwrap_or(HeaderValue::from_static("req-0"))
}
