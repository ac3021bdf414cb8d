//! Listeners, and their graceful shutdown.

use crate::{
    clock,
    gateway::Gateway,
    response::{context::ResponseContext, rejection::Rejection, writer},
    stage::accept::Entry,
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

/// How long a client may take to send a header; idle connections are kept for a minute of it.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a write to a client may block.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Concurrent requests on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// Smaller writes are buffered.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// How long requests may take to end after they were cut off.
const CUT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connections may take to close after their requests have ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A bound port of an entry.
pub struct Listener {
    /// The real port, if any port was requested.
    pub address: SocketAddr,
    socket: TcpListener,
    entry: Entry,
    tls: Option<TlsSettings>,
}

/// Running listeners.
pub struct Server {
    gateway: Arc<Gateway>,
    connections: TaskTracker,
    stopped: watch::Sender<bool>,
}

impl Listener {
    /// Binds a port.
    ///
    /// # Errors
    /// Never for a certificate; Pingora's settings are fallible, and without them the port must
    /// not be served.
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
    /// Serves on the current runtime.
    pub fn start(gateway: Arc<Gateway>, listeners: Vec<Listener>) -> Self {
        let (stopped, watch) = watch::channel(false);
        let connections = TaskTracker::new();
        for listener in listeners {
            let (mut service, sockets) = service(&gateway, &connections, listener);
            let watch = watch.clone();
            gateway.background.spawn(async move {
                service.start_service(Some(sockets), watch, 1).await;
            });
        }
        Self { gateway, connections, stopped }
    }

    /// Stops accepting, gives running requests until `drain` to end, then cuts them off. Returns
    /// how many were cut off.
    pub async fn stop(self, drain: Duration) -> usize {
        let Gateway { requests, drain: draining, cut, .. } = &*self.gateway;
        draining.cancel();
        self.stopped.send_replace(true);
        requests.close();
        let mut running = 0;
        if tokio::time::timeout(drain, requests.wait()).await.is_err() {
            running = requests.len();
            cut.cancel();
            // A request that does not end by itself ends with the process.
            let _ = tokio::time::timeout(CUT_TIMEOUT, requests.wait()).await;
        }
        // Over HTTP/2 the last bytes of a response are sent after its request has ended.
        self.connections.close();
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.connections.wait()).await;
        running
    }
}

type Sockets = Arc<Mutex<Fds>>;

fn service(
    gateway: &Arc<Gateway>,
    connections: &TaskTracker,
    listener: Listener,
) -> (Service<ConnectionLimiter>, Sockets) {
    let Listener { address, socket, entry, tls } = listener;
    let permits = Semaphore::new(gateway.limits.connections);
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    options.h2_idle_timeout = Some(HEADER_TIMEOUT);
    let app =
        Arc::new(HttpApp { gateway: Arc::clone(gateway), entry, options, first_request: None });
    let limiter = ConnectionLimiter { app, permits, connections: connections.clone() };
    let mut service = Service::new(format!("{entry:?}"), limiter);
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

/// Accepts connections, up to a limit.
struct ConnectionLimiter {
    app: Arc<HttpApp>,
    permits: Semaphore,
    connections: TaskTracker,
}

#[async_trait]
impl ServerApp for ConnectionLimiter {
    async fn process_new(
        self: &Arc<Self>,
        mut stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let Ok(_permit) = self.permits.try_acquire() else {
            self.app.gateway.metrics.connections_refused.inc();
            return None;
        };
        let _connection = self.connections.token();
        if stream.selected_alpn_proto() == Some(ALPN::H2) {
            return self.serve_tls_h2(stream, shutdown).await;
        }
        // Pingora looks for HTTP/2 in the first bytes, and waits for them without a timeout.
        let mut first = [0; 24];
        let peeking = tokio::time::timeout(HEADER_TIMEOUT, stream.try_peek(&mut first));
        tokio::select! {
            peeked = peeking => peeked.ok()?.ok()?,
            () = self.app.gateway.drain.cancelled() => return None,
        };
        self.app.process_new(stream, shutdown).await
    }
}

impl ConnectionLimiter {
    /// Over TLS the first bytes cannot be peeked at, and here too Pingora waits for them without a
    /// timeout. So the connection is closed if no request begins in time.
    async fn serve_tls_h2(&self, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let first = CancellationToken::new();
        let app = Arc::new(HttpApp { first_request: Some(first.clone()), ..(*self.app).clone() });
        let timeout = async {
            if tokio::time::timeout(HEADER_TIMEOUT, first.cancelled()).await.is_ok() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            stream = app.process_new(stream, shutdown) => stream,
            () = timeout => None,
        }
    }
}

/// Serves requests, one after the other on each connection.
#[derive(Clone)]
struct HttpApp {
    gateway: Arc<Gateway>,
    entry: Entry,
    options: HttpServerOptions,
    /// Cancelled by the first request.
    first_request: Option<CancellationToken>,
}

#[async_trait]
impl HttpServerApp for HttpApp {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        _: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        // What a client sends before its response is its next request, not a sign that it has
        // disconnected.
        session.set_pipelining_enabled(true);
        self.next_request(&mut session).await?;
        if let Some(first_request) = &self.first_request {
            first_request.cancel();
        }
        let _running = self.gateway.requests.token();
        session.set_write_timeout(Some(WRITE_TIMEOUT));
        if self.gateway.drain.is_cancelled() {
            session.set_keepalive(None);
        }
        if !self.gateway.serve(&mut session, self.entry).await {
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
        let header_bytes = u32::try_from(self.gateway.limits.header_bytes).unwrap_or(u32::MAX);
        let mut options = H2Options::new();
        options.max_concurrent_streams(STREAMS_MAX).max_header_list_size(header_bytes);
        Some(options)
    }
}

impl HttpApp {
    /// Reads the header of the next request; `None` if there will be none.
    async fn next_request(&self, session: &mut ServerSession) -> Option<()> {
        let deadline = clock::now() + HEADER_TIMEOUT;
        let read = tokio::select! {
            biased;
            read = tokio::time::timeout_at(deadline.into(), session.read_request()) => read.ok()?,
            () = self.gateway.drain.cancelled() => return None,
        };
        match read {
            Ok(true) => Some(()),
            Ok(false) => None,
            Err(error) => {
                if *error.etype() == ErrorType::InvalidHTTPHeader {
                    let rejection =
                        Rejection::InvalidFraming("its header is not HTTP, or far too large");
                    let response =
                        writer::rejection_response(&rejection, &ResponseContext::unknown());
                    if let Ok((header, body)) = response {
                        let _ = session.write_error_response(header, body).await;
                    }
                }
                session.shutdown().await;
                None
            }
        }
    }
}
