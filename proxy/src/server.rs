//! Listening, and stopping without breaking what runs.

use crate::{
    clock,
    gateway::{Shared, fresh_request_id},
    response::{
        rejection::Rejection,
        writer::{self, Stamp},
    },
    stage::accept::{Dialect, Entry},
    tls::Certificate,
};
use async_trait::async_trait;
use parking_lot::Mutex;
use pingora_core::{
    ErrorType,
    apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp},
    listeners::{L4BufferSettings, ListenerConfig, tls::TlsSettings},
    protocols::{
        ALPN, Stream,
        http::{ServerSession, v2::server::H2Options},
    },
    server::{Fds, ShutdownWatch},
    services::{Service as _, listening::Service},
};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::IntoRawFd,
    sync::Arc,
    time::Duration,
};
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a client may take for a header; an idle connection is kept for a minute of it.
const HEADER_WAIT: Duration = Duration::from_secs(75);
/// How long a client may take to read what is written to it.
const WRITE_WAIT: Duration = Duration::from_secs(60);
/// Requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// How much is gathered before it is written; more is written at once.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// How long requests that were cut off may take to end.
const CUT_WAIT: Duration = Duration::from_secs(5);
/// How long connections may take to close when their requests have ended.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// A face of the gateway that listens.
pub struct Listening {
    /// Where; the port is the real one if any port was asked for.
    pub address: SocketAddr,
    socket: TcpListener,
    entry: Entry,
    tls: Option<TlsSettings>,
}

/// Listening faces, until they are stopped.
pub struct Server {
    shared: Arc<Shared>,
    open: TaskTracker,
    stopped: watch::Sender<bool>,
}

impl Listening {
    /// Binds a port.
    ///
    /// # Errors
    /// If it is taken, or not ours to take. Never for a certificate; Pingora's settings are
    /// fallible, and without them the port must not be served.
    pub fn bind(
        address: SocketAddr,
        entry: Entry,
        certificate: Option<Certificate>,
    ) -> io::Result<Self> {
        let tls = certificate.map(tls).transpose().map_err(io::Error::other)?;
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { address: socket.local_addr()?, socket, entry, tls })
    }
}

fn tls(certificate: Certificate) -> pingora_core::Result<TlsSettings> {
    let mut settings = TlsSettings::intermediate("", "")?;
    settings.set_cert_resolver(Arc::new(certificate));
    settings.enable_h2();
    Ok(settings)
}

impl Server {
    /// Begins to serve. Runs on the current runtime.
    pub fn start(shared: Arc<Shared>, faces: Vec<Listening>) -> Self {
        let (stopped, watch) = watch::channel(false);
        let open = TaskTracker::new();
        for face in faces {
            let mut service = service(&shared, &open, face);
            let watch = watch.clone();
            shared.background.spawn(async move {
                let (service, sockets) = &mut service;
                service.start_service(Some(Arc::clone(sockets)), watch, 1).await;
            });
        }
        Self { shared, open, stopped }
    }

    /// Stops: takes nothing new, lets what runs end for as long as `drain`, then cuts it off.
    /// Says how many requests were cut off.
    pub async fn stop(self, drain: Duration) -> usize {
        self.shared.drain.cancel();
        self.stopped.send_replace(true);
        self.shared.requests.close();
        let ended = tokio::time::timeout(drain, self.shared.requests.wait()).await;
        let cut = if ended.is_ok() { 0 } else { self.cut().await };
        // Over HTTP/2 the last bytes of an answer leave after its request has ended.
        self.open.close();
        let _ = tokio::time::timeout(CLOSE_WAIT, self.open.wait()).await;
        cut
    }

    async fn cut(&self) -> usize {
        let cut = self.shared.requests.len();
        self.shared.cut.cancel();
        // A request that does not end by itself ends with the process.
        let _ = tokio::time::timeout(CUT_WAIT, self.shared.requests.wait()).await;
        cut
    }
}

type Sockets = Arc<Mutex<Fds>>;

fn service(
    shared: &Arc<Shared>,
    open: &TaskTracker,
    face: Listening,
) -> (Service<Entrance>, Sockets) {
    let Listening { address, socket, entry, tls } = face;
    let connections = Arc::new(Semaphore::new(shared.limits.connections));
    let gateway = Gateway { shared: Arc::clone(shared), entry, options: options(), begun: None };
    let gateway = Arc::new(gateway);
    let entrance = Entrance { gateway, connections, open: open.clone() };
    let mut service = Service::new(format!("{entry:?}"), entrance);
    let mut listener = ListenerConfig::tcp(address.to_string())
        .l4_buffer(L4BufferSettings { read: Some(0), write: Some(WRITE_BUFFER_BYTES) });
    if let Some(settings) = tls {
        listener = listener.tls(settings);
    }
    service.add_listener(listener);
    let mut sockets = Fds::new();
    sockets.add(address.to_string(), socket.into_raw_fd());
    (service, Arc::new(Mutex::new(sockets)))
}

fn options() -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    options.h2_idle_timeout = Some(HEADER_WAIT);
    options
}

/// Takes connections, up to a number.
struct Entrance {
    gateway: Arc<Gateway>,
    connections: Arc<Semaphore>,
    open: TaskTracker,
}

#[async_trait]
impl ServerApp for Entrance {
    async fn process_new(
        self: &Arc<Self>,
        mut stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let Ok(_place) = self.connections.try_acquire() else {
            self.gateway.shared.metrics.connections_refused.inc();
            return None;
        };
        let _open = self.open.token();
        if stream.selected_alpn_proto() == Some(ALPN::H2) {
            return self.begun_in_time(stream, shutdown).await;
        }
        // Pingora looks for HTTP/2 in the first bytes, and waits for them without end.
        let mut first = [0; 24];
        let peeking = tokio::time::timeout(HEADER_WAIT, stream.try_peek(&mut first));
        tokio::select! {
            peeked = peeking => peeked.ok()?.ok()?,
            () = self.gateway.shared.drain.cancelled() => return None,
        };
        self.gateway.process_new(stream, shutdown).await
    }
}

impl Entrance {
    /// Over TLS the first bytes cannot be looked at, and here too Pingora waits for them without
    /// end. So the connection ends if no request begins in time.
    async fn begun_in_time(&self, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let begun = CancellationToken::new();
        let gateway = Gateway { begun: Some(begun.clone()), ..Gateway::clone(&self.gateway) };
        let gateway = Arc::new(gateway);
        let late = async {
            if tokio::time::timeout(HEADER_WAIT, begun.cancelled()).await.is_ok() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            stream = gateway.process_new(stream, shutdown) => stream,
            () = late => None,
        }
    }
}

/// Takes requests, one after the other on each connection.
#[derive(Clone)]
struct Gateway {
    shared: Arc<Shared>,
    entry: Entry,
    options: HttpServerOptions,
    /// Cancelled by the first request, if somebody waits for it.
    begun: Option<CancellationToken>,
}

#[async_trait]
impl HttpServerApp for Gateway {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        // What a client sends before its answer has come is its next request, not a sign that
        // it has gone away.
        session.set_pipelining_enabled(true);
        self.next_request(&mut session).await?;
        if let Some(begun) = &self.begun {
            begun.cancel();
        }
        let _running = self.shared.requests.token();
        session.set_write_timeout(Some(WRITE_WAIT));
        if self.shared.drain.is_cancelled() {
            session.set_keepalive(None);
        }
        if !self.shared.serve(&mut session, self.entry).await {
            session.shutdown().await;
            return None;
        }
        let settings = HttpPersistentSettings::for_session(&session);
        let stream = session.finish().await.ok().flatten()?;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    fn h2_options(&self) -> Option<H2Options> {
        let header_bytes = u32::try_from(self.shared.limits.header_bytes).unwrap_or(u32::MAX);
        let mut options = H2Options::new();
        options.max_concurrent_streams(STREAMS_MAX).max_header_list_size(header_bytes);
        Some(options)
    }
}

impl Gateway {
    /// Awaits the header of the next request; `None` if there will be none.
    async fn next_request(&self, session: &mut ServerSession) -> Option<()> {
        let deadline = clock::now() + HEADER_WAIT;
        let read = tokio::select! {
            biased;
            read = tokio::time::timeout_at(deadline.into(), session.read_request()) => read.ok()?,
            () = self.shared.drain.cancelled() => return None,
        };
        match read {
            Ok(true) => Some(()),
            Ok(false) => None,
            Err(error) => {
                if *error.etype() == ErrorType::InvalidHTTPHeader {
                    let _ = refuse_header(session).await;
                }
                session.shutdown().await;
                None
            }
        }
    }
}

/// There is no header to take a dialect or an id from.
async fn refuse_header(session: &mut ServerSession) -> pingora_core::Result<()> {
    let (dialect, request_id) = (Dialect::OpenAi, fresh_request_id());
    let rejection = Rejection::Framing("its header is not HTTP, or far too large");
    let body = rejection.body(dialect, request_id.to_str().unwrap_or_default());
    let stamp = Stamp { dialect, request_id, allow_origin: None };
    let header = writer::json_header(rejection.status(dialect), body.len(), &stamp)?;
    session.write_error_response(header, body.into()).await
}
