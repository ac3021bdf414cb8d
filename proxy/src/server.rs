//! Listening, and stopping without breaking what runs.

use crate::{clock, gateway::Shared, stage::accept::Entry, tls::Certificate};
use async_trait::async_trait;
use http::{StatusCode, header};
use parking_lot::Mutex;
use pingora_core::{
    ErrorType,
    apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp},
    listeners::{L4BufferSettings, ListenerConfig, tls::TlsSettings},
    protocols::{
        Stream,
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

/// A face of the gateway that listens.
pub struct Listening {
    /// Where; the port is the real one if any port was asked for.
    pub address: SocketAddr,
    socket: TcpListener,
    entry: Entry,
    certificate: Option<Certificate>,
}

/// Listening faces, until they are stopped.
pub struct Server {
    shared: Arc<Shared>,
    stopped: watch::Sender<bool>,
}

impl Listening {
    /// Binds a port.
    ///
    /// # Errors
    /// If it is taken, or not ours to take.
    pub fn bind(
        address: SocketAddr,
        entry: Entry,
        certificate: Option<Certificate>,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { address: socket.local_addr()?, socket, entry, certificate })
    }
}

impl Server {
    /// Begins to serve. Runs on the current runtime.
    pub fn start(shared: Arc<Shared>, faces: Vec<Listening>) -> Self {
        let (stopped, watch) = watch::channel(false);
        for face in faces {
            let mut service = service(&shared, face);
            let watch = watch.clone();
            shared.background.spawn(async move {
                let (service, sockets) = &mut service;
                service.start_service(Some(Arc::clone(sockets)), watch, 1).await;
            });
        }
        Self { shared, stopped }
    }

    /// Stops: takes nothing new, lets what runs end for as long as `drain`, then cuts it off.
    /// Says how many requests were cut off.
    pub async fn stop(self, drain: Duration) -> usize {
        self.shared.drain.cancel();
        self.stopped.send_replace(true);
        self.shared.requests.close();
        if tokio::time::timeout(drain, self.shared.requests.wait()).await.is_ok() {
            return 0;
        }
        let cut = self.shared.requests.len();
        self.shared.cut.cancel();
        // A request that does not end by itself ends with the process.
        let _ = tokio::time::timeout(CUT_WAIT, self.shared.requests.wait()).await;
        cut
    }
}

type Sockets = Arc<Mutex<Fds>>;

fn service(shared: &Arc<Shared>, face: Listening) -> (Service<Entrance>, Sockets) {
    let Listening { address, socket, entry, certificate } = face;
    let connections = Arc::new(Semaphore::new(shared.limits.connections));
    let gateway = Arc::new(Gateway { shared: Arc::clone(shared), entry, options: options() });
    let mut service = Service::new(format!("{entry:?}"), Entrance { gateway, connections });
    let mut listener = ListenerConfig::tcp(address.to_string())
        .l4_buffer(L4BufferSettings { read: Some(0), write: Some(WRITE_BUFFER_BYTES) });
    if let Some(certificate) = certificate
        && let Ok(mut settings) = TlsSettings::intermediate("", "")
    {
        settings.set_cert_resolver(Arc::new(certificate));
        settings.enable_h2();
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
        // Pingora looks for HTTP/2 in the first bytes, and waits for them without end.
        let mut first = [0; 24];
        let peeked = tokio::time::timeout(HEADER_WAIT, stream.try_peek(&mut first)).await;
        peeked.ok()?.ok()?;
        self.gateway.process_new(stream, shutdown).await
    }
}

/// Takes requests, one after the other on each connection.
struct Gateway {
    shared: Arc<Shared>,
    entry: Entry,
    options: HttpServerOptions,
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
    const BODY: &str = r#"{"error":{"message":"the header of the request is not HTTP","type":"invalid_request_error","param":null,"code":null}}"#;
    let mut header = ServerSession::generate_error(StatusCode::BAD_REQUEST.as_u16());
    header.insert_header(header::CONTENT_TYPE, "application/json")?;
    header.insert_header(header::CONTENT_LENGTH, BODY.len())?;
    session.write_error_response(header, BODY.into()).await
}
