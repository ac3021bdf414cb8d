//! Accepts connections, and holds what they share.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use http::request::Parts;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::api::{self, Stored};
use crate::clock;
use crate::config::Config;
use crate::engine::Engine;
use crate::exchange::serve;
use crate::fault::{Fault, Injection, InvalidFault};
use crate::received::Log;
use crate::state::Watched;
use crate::wire::{Control, Ending, Transport, Wire, reset_on_close};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// Bytes of a request's head that are accepted over HTTP/1.1, and over HTTP/2.
const HEAD_BYTES_MAX: usize = 1024 * 1024;
const HEADER_LIST_BYTES_MAX: u32 = 1024 * 1024;
/// Between a failed accept and the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Everything the connections of one server share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) engine: Arc<Engine>,
    pub(crate) state: Arc<Watched>,
    pub(crate) log: Log,
    pub(crate) stored: Stored,
    pub(crate) ids: AtomicU64,
    injection: Mutex<Option<Injection>>,
    controls: Mutex<HashMap<u64, Arc<Control>>>,
    pub(crate) started: Instant,
    connections: AtomicU64,
    pub(crate) requests: AtomicU64,
}

impl Shared {
    pub(crate) fn new(config: Config) -> Self {
        let state = Arc::new(Watched::new());
        Self {
            engine: Arc::new(Engine::new(&config, state.clone())),
            state,
            log: Log::new(config.received_max),
            stored: Stored::default(),
            ids: AtomicU64::new(config.seed),
            injection: Mutex::default(),
            controls: Mutex::default(),
            started: clock::now(),
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            config,
        }
    }

    pub(crate) fn inject(&self, injection: Option<Injection>) {
        *self.injection() = injection;
    }

    pub(crate) fn cut_connections(&self, ending: Ending) {
        for control in self.controls().values() {
            control.end(ending);
        }
    }

    /// The fault that hits this request: its own, if it may name one, else the server's.
    pub(crate) fn fault(&self, head: &Parts) -> Result<Option<Fault>, InvalidFault> {
        if api::is_control(head.uri.path()) {
            return Ok(None);
        }
        let named = head.headers.get("x-sim-fault").filter(|_| self.config.allow_faults);
        if let Some(named) = named {
            return String::from_utf8_lossy(named.as_bytes()).parse().map(Some);
        }
        let post = head.method == Method::POST;
        let mut injection = self.injection();
        Ok(injection.as_mut().and_then(|injection| injection.take(head.uri.path(), post)))
    }

    fn injection(&self) -> MutexGuard<'_, Option<Injection>> {
        self.injection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn controls(&self) -> MutexGuard<'_, HashMap<u64, Arc<Control>>> {
        self.controls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a listener that can be opened again on the same port.
pub(crate) fn listen(bind: SocketAddr) -> io::Result<TcpListener> {
    take(bind)?.listen(BACKLOG)
}

/// Takes a port, which refuses connections as long as nobody listens on it.
fn take(bind: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if bind.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(bind)?;
    Ok(socket)
}

/// What the handle asks of the accept loop; each is answered when it is done.
pub(crate) enum Command {
    Stop(oneshot::Sender<()>),
    Resume(oneshot::Sender<io::Result<()>>),
}

/// Accepts until it is aborted; its connections end with it.
pub(crate) async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    mut commands: mpsc::Receiver<Command>,
) {
    let mut listener = Some(listener);
    // Kept while nobody listens, or the port would soon be somebody else's.
    let mut taken = None;
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Stop(done)) => {
                    if let Some(open) = listener.take() {
                        let address = open.local_addr();
                        drop(open);
                        taken = address.and_then(take).ok();
                    }
                    // Nobody waiting for the answer is no reason to stop serving.
                    let _nobody_waits = done.send(());
                }
                Some(Command::Resume(done)) => {
                    let socket = taken.take().ok_or_else(|| io::ErrorKind::AddrInUse.into());
                    let opened = socket.and_then(|socket: TcpSocket| socket.listen(BACKLOG));
                    let _nobody_waits = done.send(opened.map(|open| listener = Some(open)));
                }
                None => return,
            },
            accepted = accepted => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(connection(shared.clone(), socket));
                }
                // Out of descriptors, most likely: connections that end bring new ones.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(shared: Arc<Shared>, socket: TcpStream) {
    let on_accept = matches!(&*shared.injection(), Some(i) if i.fault == Fault::ResetOnAccept);
    if on_accept && shared.injection().as_mut().and_then(|i| i.take("", true)).is_some() {
        let _already_closed = reset_on_close(&socket);
        return;
    }
    let id = shared.connections.fetch_add(1, Relaxed) + 1;
    let control = Arc::new(Control::new());
    let _registered = Registered::new(shared.clone(), id, control.clone());
    let _best_effort = socket.set_nodelay(true);
    let transport = match &shared.config.tls {
        None => Transport::Plain(socket),
        Some(tls) => {
            let handshake = TlsAcceptor::from(tls.clone()).accept(socket);
            match tokio::time::timeout(HANDSHAKE_MAX, handshake).await {
                Ok(Ok(tls)) => Transport::Tls(Box::new(tls)),
                Ok(Err(_)) | Err(_) => return,
            }
        }
    };
    let io = TokioIo::new(Wire::new(transport, control.clone()));
    let served = AtomicU64::new(0);
    let service = service_fn(|request| {
        let first = served.fetch_add(1, Relaxed) == 0;
        serve(shared.clone(), control.clone(), id, first, request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).max_buf_size(HEAD_BYTES_MAX);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(HEADER_LIST_BYTES_MAX);
    let serving = builder.serve_connection(io, service);
    tokio::select! {
        // Whoever watches a connection fail has its own record; here it is just over.
        _ = serving => {}
        () = control.cut() => {}
    }
}

/// Counts a connection and lets it be cut, as long as it lives.
struct Registered {
    shared: Arc<Shared>,
    id: u64,
}

impl Registered {
    fn new(shared: Arc<Shared>, id: u64, control: Arc<Control>) -> Self {
        shared.controls().insert(id, control);
        shared.state.change(|state| state.connections += 1);
        Self { shared, id }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.controls().remove(&self.id);
        self.shared.state.change(|state| state.connections -= 1);
    }
}
