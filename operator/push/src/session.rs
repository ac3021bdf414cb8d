//! One authenticated stream of a proxy.

use crate::{
    ack::AckTracker, authenticate::Peer, clock, open_streams::OpenStream, proxy_state::ProxyReport,
    registry::Registration, state::PushState, stats::count, store::Delta,
};
use llm_contract::{
    Chain, Table,
    push::{Change, Digest, UpdateChunks, wire},
};
use prost::Message as _;
use std::{error::Error, sync::Arc, time::Instant};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, sleep_until, timeout, timeout_at},
};
use tonic::{Status, Streaming};

/// The longest name of a Kubernetes object.
const NAME_BYTES_MAX: usize = 253;

pub(crate) struct Session {
    pub(crate) state: Arc<PushState>,
    pub(crate) peer: Peer,
    pub(crate) reports: Streaming<wire::Report>,
    pub(crate) updates: mpsc::Sender<Result<wire::Update, Status>>,
    /// Keeps the connection open.
    pub(crate) _open: OpenStream,
}

impl Session {
    /// Runs until the stream ends, and sends the reason unless the proxy ended it.
    pub(crate) async fn run(mut self) {
        let state = Arc::clone(&self.state);
        let left = self.peer.expires_at.duration_since(clock::wall());
        let age_max = state.limits.stream_age_max.min(left.try_into().unwrap_or_default());
        let ended = tokio::select! {
            ended = self.serve() => ended,
            // The proxy reconnects with a new token and continues from its digest.
            () = sleep(age_max) => Ok(()),
            () = state.stopping.cancelled() => {
                Err(Status::unavailable("this replica stops; follow another"))
            }
        };
        if let Err(status) = ended {
            state.stats.streams_failed.inc();
            let peer = self.peer.identity.name();
            tracing::debug!(%peer, status = status.message(), "stream ended");
            let _ = timeout(state.limits.handshake_timeout, self.updates.send(Err(status))).await;
        }
    }

    async fn serve(&mut self) -> Result<(), Status> {
        let Some(hello) = self.receive_hello().await? else {
            return Ok(());
        };
        let digest = Digest::parse(&hello.digest).map_err(|error| invalid(&error))?;
        let registered = self.state.proxies.register(&self.peer.identity, &hello);
        let registration =
            registered.map_err(|full| Status::resource_exhausted(full.to_string()))?;
        let (proxy, version, follows) = (registration.name(), &*hello.version, hello.follow);
        let peer = self.peer.identity.name();
        tracing::info!(proxy, version, %peer, follows, "proxy connected");
        let ended = tokio::select! {
            ended = self.sync(&registration, follows, digest) => ended,
            () = registration.superseded.cancelled() => {
                Err(Status::aborted(format!("another stream of proxy {proxy} began")))
            }
        };
        tracing::info!(proxy, "proxy disconnected");
        ended
    }

    /// The first message; `None` if the stream ends before.
    async fn receive_hello(&mut self) -> Result<Option<wire::Hello>, Status> {
        let wait = self.state.limits.handshake_timeout;
        let first = timeout(wait, self.reports.message()).await.map_err(|_elapsed| {
            Status::deadline_exceeded(format!("no `hello` arrived within {wait:?}"))
        })?;
        let Some(first) = first? else { return Ok(None) };
        let Some(wire::report::Report::Hello(hello)) = first.report else {
            return Err(Status::invalid_argument("the first message of a stream is a `hello`"));
        };
        validate(hello).map(Some)
    }

    /// Sends updates to a subscriber, and processes reports.
    async fn sync(
        &mut self,
        registration: &Registration,
        follows: bool,
        digest: Option<Digest>,
    ) -> Result<(), Status> {
        let state = Arc::clone(&self.state);
        let (table, limits) = (&state.table, &state.limits);
        let mut published = table.watch();
        let mut acks = AckTracker::new(digest, clock::now());
        let mut chunks: Option<UpdateChunks> = None;
        let mut read_at = clock::now();
        loop {
            let (acked, in_flight_since) = (acks.acked, acks.in_flight_since());
            let is_idle = follows && in_flight_since.is_none() && chunks.is_none();
            let heartbeat_at = acks.last_activity + limits.heartbeat_interval;
            let deadline = in_flight_since.unwrap_or(acks.last_activity) + limits.ack_timeout;
            tokio::select! {
                report = next_report(&mut self.reports, read_at) => {
                    let Some(report) = report? else { return Ok(()) };
                    read_at = clock::now() + limits.report_interval;
                    self.on_report(report, registration, follows.then_some(&mut acks))?;
                }
                () = update_due(&mut published, acked, heartbeat_at), if is_idle => {
                    let delta = table.delta(acked).or_else(|| acked.map(heartbeat));
                    chunks = delta.map(|delta| self.begin_update(delta, registration, &mut acks));
                }
                permit = self.updates.reserve(), if chunks.is_some() => {
                    match (permit, chunks.as_mut().and_then(Iterator::next)) {
                        (Ok(permit), Some(chunk)) => {
                            state.stats.bytes.inc_by(count(chunk.encoded_len()));
                            permit.send(Ok(chunk));
                        }
                        // All is sent; or the stream has ended, as the next read will tell.
                        (Ok(_) | Err(_), _) => chunks = None,
                    }
                }
                () = sleep_until(deadline.into()), if in_flight_since.is_some() => {
                    let (sequence, wait) = (acks.sequence, limits.ack_timeout);
                    return Err(Status::deadline_exceeded(format!(
                        "update {sequence} was not acknowledged within {wait:?}"
                    )));
                }
            }
        }
    }

    fn on_report(
        &self,
        report: wire::Report,
        registration: &Registration,
        acks: Option<&mut AckTracker>,
    ) -> Result<(), Status> {
        let stats = &self.state.stats;
        let report = match report.report {
            Some(wire::report::Report::Applied(report)) => report,
            Some(wire::report::Report::KeyUsage(usage)) => {
                let recorded = self.state.key_usage.record(usage, clock::wall());
                return recorded.map_err(|error| invalid(&error));
            }
            Some(wire::report::Report::Hello(_)) | None => {
                let expected = "after `hello`, a report is `applied` or `key_usage`";
                return Err(Status::invalid_argument(expected));
            }
        };
        let report = ProxyReport::parse(report).map_err(|error| invalid(&error))?;
        if let Some(acks) = acks {
            let acked = acks.on_ack(report.sequence, report.digest, clock::now());
            let took = acked.map_err(|violation| Status::aborted(violation.to_string()))?;
            registration.set_in_flight_since(acks.in_flight_since());
            if let Some(took) = took {
                stats.acknowledged(took);
            }
        }
        if let Some((name, first)) = report.rejected.first() {
            let (proxy, documents) = (registration.name(), report.rejected.len());
            stats.rejected_documents.inc_by(count(documents));
            let reason = &*first.reason;
            tracing::warn!(proxy, documents, first = %name, reason, "a proxy rejected documents");
        }
        let published = |name: &_| self.state.table.hash(name);
        registration.apply_report(report, published).map_err(|error| invalid(&error))
    }

    fn begin_update(
        &self,
        delta: Delta,
        registration: &Registration,
        acks: &mut AckTracker,
    ) -> UpdateChunks {
        let now = clock::now();
        let sequence = acks.on_send(&delta, now);
        registration.set_in_flight_since(Some(now));
        let is_snapshot = delta.from.is_none();
        if is_snapshot || !delta.change.is_empty() {
            self.state.stats.updates.inc();
            self.state.stats.snapshots.inc_by(is_snapshot.into());
        }
        delta.change.into_chunks(sequence, delta.from, delta.digest)
    }
}

fn validate(hello: wire::Hello) -> Result<wire::Hello, Status> {
    let (ours, theirs) = (Table::VERSION, hello.schema);
    if ours != theirs {
        return Err(Status::failed_precondition(format!(
            "this operator writes schema {ours}, and proxy {} reads schema {theirs}; run the same \
             version of both",
            hello.proxy,
        )));
    }
    let is_valid = |text: &str| {
        let fits = !text.is_empty() && text.len() <= NAME_BYTES_MAX;
        fits && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !is_valid(&hello.proxy) || !is_valid(&hello.version) {
        return Err(Status::invalid_argument(format!(
            "`proxy` and `version` have 1 to {NAME_BYTES_MAX} visible ASCII characters"
        )));
    }
    Ok(hello)
}

/// Reads a report, but not before `read_at`.
async fn next_report(
    reports: &mut Streaming<wire::Report>,
    read_at: Instant,
) -> Result<Option<wire::Report>, Status> {
    sleep_until(read_at.into()).await;
    reports.message().await
}

/// Waits until the table is known, and then until it differs or a heartbeat is due.
async fn update_due(
    published: &mut watch::Receiver<Option<Digest>>,
    acked: Option<Digest>,
    heartbeat_at: Instant,
) {
    // Infallible: the store outlives every stream.
    drop(published.wait_for(Option::is_some).await);
    let differs = published.wait_for(|digest| *digest != acked);
    drop(timeout_at(heartbeat_at.into(), differs).await);
}

fn heartbeat(digest: Digest) -> Delta {
    Delta { from: Some(digest), digest, change: Change::default(), published: None }
}

fn invalid(error: &dyn Error) -> Status {
    Status::invalid_argument(Chain(error).to_string())
}
