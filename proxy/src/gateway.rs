//! The path of a request, from one stage to the next. Each stage decides; this only leads on.
//!
//! Pingora accepts connections, speaks HTTP/1.1 and HTTP/2 and hands over one request at a time.

use crate::{
    answer::{self, Stamp, models, preflight},
    attempt::{Answered, Outgoing},
    balance::probe,
    clock,
    exchange::{End, Exchange},
    halt::Halt,
    ids,
    metrics::Metrics,
    oidc::{InvalidIssuer, IssuerConfig},
    rejection::Rejection,
    responses::{Home, Responses},
    stage::{
        accept::{self, Entry, Operation, Request},
        authenticate::{Authenticator, Principal},
        authorize::{self, Permit},
        pick::Choice,
        read::{self, Held, Prompt},
        record::{Recorder, UsageEvent},
        relay::{First, Relay, Stop, hiding},
        reserve, resolve,
    },
    tables::{Snapshot, Tables},
    upstream::Connector,
    usage::{Hide, Shape},
};
use bytes::Bytes;
use http::HeaderValue;
use jiff::Timestamp;
use llm_contract::Table;
use pingora_core::protocols::http::ServerSession;
use std::{pin::pin, sync::Arc};
use tokio::{runtime::Handle, sync::mpsc, time::sleep_until};
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
    held: Held,
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
    /// A gateway with nothing in force yet.
    pub fn new(
        authenticator: Authenticator,
        limits: Limits,
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
            connector: Connector::default(),
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
            Box::pin(answer::send(session, preflight::answer(&exchange.stamp)?, Bytes::new()))
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
            Request::ListModels => models::list(tables, &principal, dialect, self.started_at),
            Request::ShowModel(id) => {
                models::one(tables, &principal, &id, dialect, self.started_at)?
            }
            Request::Preflight => return Err(Rejection::Defect.into()),
        };
        let header = answer::json_header(http::StatusCode::OK, body.len(), &exchange.stamp)?;
        Box::pin(answer::send(session, header, body.into())).await?;
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

    async fn ask_model(
        &self,
        session: &mut ServerSession,
        exchange: &mut Exchange,
        tables: &Snapshot,
        principal: &Principal,
        operation: &'static Operation,
    ) -> Result<End, Halt> {
        exchange.operation = Some(operation);
        let prompt = Prompt::read(session, operation, &self.limits.read, &self.held).await?;
        let scan = prompt.scan.as_ref().ok_or(Rejection::Defect)?;
        exchange.stream = scan.stream;
        let route = resolve::route(tables, &scan.model, operation)?;
        exchange.route = Some(Arc::clone(&route));
        let permit = authorize::permit(principal, &route, &scan.model)?;
        let _lease = reserve::lease(&permit)?;
        let (usage, hide) = hiding(operation, &route, scan.usage);
        let body = prompt.for_upstream(route.upstream_model(&scan.model), usage);
        let outgoing = Outgoing { permit: &permit, operation, path: operation.path, body };
        let choice = Choice::new(Arc::clone(&route));
        let answered = self.attempt(session, exchange, choice, &outgoing).await?;
        if operation.shape == Shape::Responses {
            let home = || home(&permit, &scan.model, &answered);
            self.responses.remember(answered.first.held(), home);
        }
        self.relay(session, exchange, answered, hide).await
    }

    async fn ask_home(
        &self,
        session: &mut ServerSession,
        exchange: &mut Exchange,
        tables: &Snapshot,
        principal: &Principal,
        operation: &'static Operation,
        id: &str,
    ) -> Result<End, Halt> {
        exchange.operation = Some(operation);
        let prompt = Prompt::read(session, operation, &self.limits.read, &self.held).await?;
        let unknown = || Rejection::UnknownResponse { id: id.to_owned() };
        let home = self.responses.home(id, &principal.identity()).ok_or_else(unknown)?;
        let route = resolve::route(tables, &home.model, operation)?;
        exchange.route = Some(Arc::clone(&route));
        let permit = authorize::permit(principal, &route, &home.model)?;
        let _lease = reserve::lease(&permit)?;
        let path = operation.path.replace("{id}", id);
        let outgoing =
            Outgoing { permit: &permit, operation, path: &path, body: prompt.body.clone() };
        // It may have gone, and its address may be somebody else's by now.
        let endpoint = route.endpoints.iter().find(|it| it.name == home.endpoint);
        let choice = Choice::only(Arc::clone(&route), endpoint.ok_or_else(unknown)?);
        let answered = self.attempt(session, exchange, choice, &outgoing).await?;
        self.relay(session, exchange, answered, Hide::Nothing).await
    }

    async fn relay(
        &self,
        session: &mut ServerSession,
        exchange: &mut Exchange,
        answered: Answered,
        hide: Hide,
    ) -> Result<End, Halt> {
        let Answered { picked, connection, first } = answered;
        let deadline = exchange.received_at + picked.endpoint.timeouts.request;
        let late = pin!(sleep_until(deadline.into()));
        let stop = Stop { late, cut: &self.cut };
        exchange.reply.begin(&first, clock::now().duration_since(exchange.received_at));
        match first {
            First::Refusal(refusal) => {
                self.connector.release(connection).await;
                let (header, body) = refusal.answer(&picked.endpoint, &exchange.stamp)?;
                exchange.reply.status = Some(header.status);
                Box::pin(answer::send(session, header, body)).await?;
                Ok(End::Complete)
            }
            First::Stream(held) => {
                let relay = Relay { session, connection, exchange, stop };
                Ok(relay.stream(held, hide, &self.connector).await)
            }
            First::Whole(held) => {
                let relay = Relay { session, connection, exchange, stop };
                Ok(relay.whole(held, &self.connector).await)
            }
        }
    }
}

fn home(permit: &Permit, model: &str, answered: &Answered) -> Home {
    Home {
        model: model.into(),
        endpoint: Arc::clone(&answered.picked.endpoint.name),
        identity: permit.principal().identity(),
    }
}

/// `req-` and 32 hexadecimal digits.
pub(crate) fn fresh_request_id() -> HeaderValue {
    HeaderValue::from_str(&ids::fresh("req-")).unwrap_or(HeaderValue::from_static("req-0"))
}
