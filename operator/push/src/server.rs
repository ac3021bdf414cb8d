//! Serves the push over TLS and HTTP/2, on connections that it accepts itself: so each has a
//! limit on how long it may take to begin, and the certificate can be another for the next one.

use crate::{
    authenticate::{Authenticate, Denied, Peer, bearer},
    certificate::Certificate,
    clock,
    limits::Limits,
    numbers::Numbers,
    proxies::Proxies,
    session::Session,
    strangers::{Strangers, Visitor},
    table::Table,
    uses::Uses,
};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use llm_contract::push::wire::{
    Report, Update,
    push_server::{self, PushServer},
};
use rustls::{ServerConfig, crypto::ring, version::TLS13};
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming, codegen::Service as _};

/// Streams at a time on one connection. A proxy has one, and another while it changes its mind.
const STREAMS_MAX: u32 = 4;
/// Streams that were reset and are not yet forgotten.
const RESETS_MAX: usize = 16;
/// A request's header, which holds a token.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// What a peer may send before we read it, on a stream and on a connection.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// Tokens that are checked at a time: each may be a question to the API server.
const AUTHENTICATIONS_MAX: usize = 16;
/// Messages that wait to be taken by one connection.
const PARTS_WAITING: usize = 1;
/// Between looks for proxies that have gone for good.
const FORGET_INTERVAL: Duration = Duration::from_secs(1);
/// After a connection could not be accepted: out of descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How long streams may take to say that they end.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// The push: the table, whoever follows it, and who they are.
#[derive(Clone)]
pub struct Push(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) table: Table,
    pub(crate) proxies: Arc<Proxies>,
    pub(crate) numbers: Numbers,
    pub(crate) uses: Uses,
    pub(crate) limits: Limits,
    pub(crate) stopping: CancellationToken,
    authenticate: Box<dyn Authenticate>,
    authentications: Semaphore,
    sessions: TaskTracker,
    strangers: Strangers,
    serves: AtomicBool,
}

impl Push {
    /// Holds a table of which nothing is known yet.
    pub fn new(authenticate: impl Authenticate, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            table: Table::new(),
            proxies: Arc::new(Proxies::new(limits.clone())),
            strangers: Strangers::new(limits.strangers),
            serves: AtomicBool::new(false),
            numbers: Numbers::default(),
            uses: Uses::default(),
            limits,
            stopping: CancellationToken::new(),
            authenticate: Box::new(authenticate),
            authentications: Semaphore::new(AUTHENTICATIONS_MAX),
            sessions: TaskTracker::new(),
        }))
    }

    /// What proxies are sent.
    pub fn table(&self) -> &Table {
        &self.0.table
    }

    /// Who follows, and what each has in force.
    pub fn proxies(&self) -> &Proxies {
        &self.0.proxies
    }

    /// Which keys were used.
    pub fn uses(&self) -> &Uses {
        &self.0.uses
    }

    /// What is counted.
    pub fn numbers(&self) -> &Numbers {
        &self.0.numbers
    }

    /// Whether connections are accepted.
    pub fn serves(&self) -> bool {
        self.0.serves.load(Ordering::Acquire)
    }
}

impl Push {
    /// Serves until `stop`, then tells every proxy to follow another replica.
    pub async fn serve(
        &self,
        listener: TcpListener,
        certificate: Certificate,
        stop: CancellationToken,
    ) -> Result<(), rustls::Error> {
        let acceptor = TlsAcceptor::from(Arc::new(tls(certificate)?));
        let places = Arc::new(Semaphore::new(self.0.limits.connections));
        let mut connections = JoinSet::new();
        let mut forget = interval(FORGET_INTERVAL);
        forget.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.0.serves.store(true, Ordering::Release);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = forget.tick() => self.0.proxies.forget_gone(clock::now()),
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => {
                        let visitor = self.0.strangers.enter(peer.ip());
                        let place = places.clone().try_acquire_owned().ok();
                        let Some((visitor, place)) = visitor.zip(place) else {
                            self.0.numbers.connection_refused();
                            continue;
                        };
                        let connection =
                            connection(Arc::clone(&self.0), acceptor.clone(), socket, visitor);
                        connections.spawn(async move {
                            connection.await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(error = %error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        self.0.serves.store(false, Ordering::Release);
        drop(listener);
        self.0.stopping.cancel();
        self.0.sessions.close();
        let ended = async {
            self.0.sessions.wait().await;
            while connections.join_next().await.is_some() {}
        };
        // Whatever has not ended by then is cut off.
        let _ = timeout(CLOSE_WAIT, ended).await;
        Ok(())
    }
}

/// Both sides are ours, so nothing older is needed.
fn tls(certificate: Certificate) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

async fn connection(
    shared: Arc<Shared>,
    acceptor: TlsAcceptor,
    socket: TcpStream,
    visitor: Visitor,
) {
    // Small messages are not held back.
    let _best_effort = socket.set_nodelay(true);
    let limits = &shared.limits;
    let Ok(Ok(tls)) = timeout(limits.begin_wait, acceptor.accept(socket)).await else {
        return;
    };
    let streams = Streams::default();
    let refused = visitor.refused.clone();
    let door = Door { shared: Arc::clone(&shared), streams: streams.clone(), visitor };
    let push = PushServer::new(door).max_decoding_message_size(limits.report_bytes);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let mut push = push.clone();
        async move { push.call(request).await }
    });
    let serving = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_interval)
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .serve_connection(TokioIo::new(tls), service);
    let mut serving = pin!(serving);
    tokio::select! {
        // Whoever loses a connection notices; here it is just over.
        _ = &mut serving => return,
        () = streams.idle(limits.begin_wait) => {}
        // The answer that says so is still sent.
        () = refused.cancelled() => {}
        () = shared.stopping.cancelled() => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = timeout(CLOSE_WAIT, serving).await;
}

/// Where the streams of one connection begin.
struct Door {
    shared: Arc<Shared>,
    streams: Streams,
    visitor: Visitor,
}

#[tonic::async_trait]
impl push_server::Push for Door {
    type FollowStream = ReceiverStream<Result<Update, Status>>;

    async fn follow(
        &self,
        request: Request<Streaming<Report>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let open = self.streams.begin();
        let header = request.metadata().get("authorization").and_then(|it| it.to_str().ok());
        let peer = self.shared.admit(header).await.inspect_err(|denied| {
            self.shared.numbers.stream_failed();
            tracing::debug!(reason = %denied, "a stream was refused");
            match denied {
                Denied::Unauthenticated { .. } | Denied::Forbidden { .. } => {
                    self.visitor.refused.cancel();
                }
                Denied::Unavailable { .. } => {}
            }
        })?;
        self.visitor.is_known();
        let (updates, messages) = mpsc::channel(PARTS_WAITING);
        let shared = Arc::clone(&self.shared);
        let session = Session { shared, peer, reports: request.into_inner(), updates, _open: open };
        self.shared.sessions.spawn(session.run());
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

impl Shared {
    async fn admit(&self, header: Option<&str>) -> Result<Peer, Denied> {
        let token = bearer(header)?;
        let answer = async {
            let _turn = self.authentications.acquire().await;
            self.authenticate.authenticate(&token).await
        };
        let wait = self.limits.begin_wait;
        let peer = timeout(wait, answer).await.unwrap_or_else(|_elapsed| {
            Err(Denied::Unavailable { reason: format!("that took longer than {wait:?}") })
        })?;
        if peer.expires_at <= clock::wall() {
            return Err(Denied::Unauthenticated { reason: "it has expired".to_owned() });
        }
        Ok(peer)
    }
}

/// How many streams a connection has.
#[derive(Clone, Default)]
struct Streams(Arc<watch::Sender<usize>>);

/// A stream, until it is dropped.
pub(crate) struct Open(Streams);

impl Streams {
    fn begin(&self) -> Open {
        self.0.send_modify(|count| *count += 1);
        Open(self.clone())
    }

    /// Waits until there was no stream for so long.
    async fn idle(&self, wait: Duration) {
        let mut count = self.0.subscribe();
        loop {
            // The sender is ours, so neither fails.
            drop(count.wait_for(|count| *count == 0).await);
            if timeout(wait, count.wait_for(|count| 0 < *count)).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}
