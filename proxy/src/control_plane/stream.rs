//! One stream to one replica of the operator, on a connection of its own.

use super::{cache::journal::MESSAGE_BYTES_MAX, config::ControlConfig};
use hyper::{client::conn::http2, rt::Executor};
use hyper_util::rt::{TokioIo, TokioTimer};
use llm_contract::push::wire::{self, push_client::PushClient};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
};

/// Reports that wait to be sent; beyond, the stream is replaced.
const REPORTS_MAX: usize = 64;
/// Of a token or a bundle of certificates.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
const WINDOW_BYTES: u32 = 1024 * 1024;

pub(super) enum StreamEvent {
    /// The channel takes reports, the first of which is a `hello`.
    Opened(mpsc::Sender<wire::Report>),
    Update(wire::Update),
    Ended(StreamError),
}

pub(super) struct ControlStream {
    pub(super) id: u64,
    pub(super) address: SocketAddr,
    pub(super) events: mpsc::Sender<(u64, SocketAddr, StreamEvent)>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error("reading {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} holds no certificate in PEM", .0.display())]
    Authorities(PathBuf),
    #[error("{} holds no token", .0.display())]
    Token(PathBuf),
    #[error("setting up TLS")]
    Tls(#[from] rustls::Error),
    #[error("connecting")]
    Connect(#[source] io::Error),
    #[error("TLS handshake")]
    Handshake(#[source] io::Error),
    #[error("no response within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("HTTP/2")]
    Http(#[from] hyper::Error),
    #[error("the operator responded: {} ({:?})", .0.message(), .0.code())]
    Status(#[from] Status),
    #[error("the operator ended the stream")]
    Ended,
}

impl ControlStream {
    pub(super) async fn emit(&self, event: StreamEvent) {
        // Fails only while the client shuts down.
        let _ = self.events.send((self.id, self.address, event)).await;
    }

    /// Runs until the stream ends.
    pub(super) async fn run(
        &self,
        config: &ControlConfig,
        executor: TrackedExecutor,
    ) -> Result<(), StreamError> {
        let token = match &config.token {
            Some(path) => Some(read_token(path).await?),
            None => None,
        };
        let wait = config.timeouts.connect;
        let socket = within(wait, TcpStream::connect(self.address)).await?;
        let socket = socket.map_err(StreamError::Connect)?;
        // Best effort: small messages are not delayed.
        let _ = socket.set_nodelay(true);
        if !config.address.is_tls {
            return self.exchange(socket, token, config, executor).await;
        }
        let connector = TlsConnector::from(Arc::new(tls(config.authorities.as_deref()).await?));
        let secured = connector.connect(config.server_name.clone(), socket);
        let secured = within(wait, secured).await?.map_err(StreamError::Handshake)?;
        self.exchange(Box::new(secured), token, config, executor).await
    }

    async fn exchange(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        token: Option<Bearer>,
        config: &ControlConfig,
        executor: TrackedExecutor,
    ) -> Result<(), StreamError> {
        let timeouts = &config.timeouts;
        let (sender, connection) = http2::Builder::new(executor)
            .timer(TokioTimer::new())
            .keep_alive_interval(timeouts.ping)
            .keep_alive_timeout(timeouts.ping)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .handshake(TokioIo::new(io))
            .await?;
        let service = tower::service_fn(move |request| {
            let mut sender = sender.clone();
            async move { sender.send_request(request).await }
        });
        let client = PushClient::with_origin(service, config.address.origin.clone());
        let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        let exchange = async {
            let (reports, outgoing) = mpsc::channel(REPORTS_MAX);
            self.emit(StreamEvent::Opened(reports)).await;
            let mut request = Request::new(ReceiverStream::new(outgoing));
            if let Some(token) = token {
                request.metadata_mut().insert("authorization", token);
            }
            let response = within(timeouts.response, client.follow(request)).await??;
            let mut updates = response.into_inner();
            while let Some(update) = updates.message().await? {
                self.emit(StreamEvent::Update(update)).await;
            }
            Ok(())
        };
        let (connection, mut exchange) = (pin!(connection), pin!(exchange));
        tokio::select! {
            // Messages are processed before the end of the connection.
            biased;
            exchanged = &mut exchange => return exchanged,
            closed = connection => closed?,
        }
        // After a graceful close the last messages may still be under way.
        timeout(timeouts.response, exchange).await.unwrap_or(Ok(()))
    }
}

async fn within<T>(wait: Duration, future: impl Future<Output = T>) -> Result<T, StreamError> {
    timeout(wait, future).await.map_err(|_elapsed| StreamError::Timeout(wait))
}

type Bearer = MetadataValue<Ascii>;

async fn read_token(path: &Path) -> Result<Bearer, StreamError> {
    let text = String::from_utf8(read(path).await?).ok();
    let text = text.filter(|text| !text.trim().is_empty());
    let bearer = text.and_then(|it| Bearer::try_from(format!("Bearer {}", it.trim())).ok());
    let mut bearer = bearer.ok_or_else(|| StreamError::Token(path.to_owned()))?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

async fn tls(authorities: Option<&Path>) -> Result<ClientConfig, StreamError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = authorities {
        let pem = read(path).await?;
        let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        roots.add_parsable_certificates(certificates.unwrap_or_default());
        if roots.is_empty() {
            return Err(StreamError::Authorities(path.to_owned()));
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

async fn read(path: &Path) -> Result<Vec<u8>, StreamError> {
    let failed = |source| StreamError::File { path: path.to_owned(), source };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).await.map_err(failed)?;
    Ok(bytes)
}

/// Spawns hyper's tasks on a tracker that shutdown waits for.
#[derive(Clone)]
pub(super) struct TrackedExecutor(pub(super) TaskTracker);

impl<F> Executor<F> for TrackedExecutor
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
