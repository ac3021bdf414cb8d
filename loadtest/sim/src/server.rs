//! Accepts connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::fault::Fault;
use crate::serve::serve;
use crate::shared::ServerState;
use crate::wire::{Control, Transport, Wire, reset_on_close};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// Bytes of a request's head that are accepted over HTTP/1.1, and over HTTP/2.
const HEAD_BYTES_MAX: usize = 1024 * 1024;
const HEADER_LIST_BYTES_MAX: u32 = 1024 * 1024;
/// Between a failed accept and the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Opens a listener that can be opened again on the same port.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bind(address)?.listen(BACKLOG)
}

/// Binds a port, which refuses connections until it is listened on.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// What the handle asks of the accept loop; each is answered when it is done.
pub(crate) enum Command {
    Stop(oneshot::Sender<()>),
    Resume(oneshot::Sender<io::Result<()>>),
}

/// Accepts until it is aborted; its connections end with it.
pub(crate) async fn accept(
    shared: Arc<ServerState>,
    listener: TcpListener,
    mut commands: mpsc::Receiver<Command>,
) {
    let mut listener = Some(listener);
    // Kept while not listening, or another process could bind the port.
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
                        taken = address.and_then(bind).ok();
                    }
                    // The handle may have stopped waiting.
                    let _ = done.send(());
                }
                Some(Command::Resume(done)) => {
                    let socket = taken.take().ok_or_else(|| io::ErrorKind::AddrInUse.into());
                    let opened = socket.and_then(|socket: TcpSocket| socket.listen(BACKLOG));
                    let _ = done.send(opened.map(|open| listener = Some(open)));
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

async fn connection(shared: Arc<ServerState>, socket: TcpStream) {
    let on_accept = matches!(&*shared.injection(), Some(i) if i.fault == Fault::ResetOnAccept);
    if on_accept && shared.injection().as_mut().and_then(|i| i.take("", true)).is_some() {
        let _already_closed = reset_on_close(&socket);
        return;
    }
    let id = shared.connections.fetch_add(1, Relaxed) + 1;
    let control = Arc::new(Control::new());
    let _guard = ConnectionGuard::new(shared.clone(), id, control.clone());
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
        // Tests that cut a connection see it at their end.
        _ = serving => {}
        () = control.cut() => {}
    }
}

/// Counts a connection and lets it be cut, as long as it lives.
struct ConnectionGuard {
    shared: Arc<ServerState>,
    id: u64,
}

impl ConnectionGuard {
    fn new(shared: Arc<ServerState>, id: u64, control: Arc<Control>) -> Self {
        shared.controls().insert(id, control);
        shared.state.change(|state| state.connections += 1);
        Self { shared, id }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.shared.controls().remove(&self.id);
        self.shared.state.change(|state| state.connections -= 1);
    }
}
