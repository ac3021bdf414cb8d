//! One stream to one replica of the operator, on a connection of its own.

use super::{control::Control, journal::MESSAGE_BYTES_MAX};
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
use tonic::{Request, Status, metadata::MetadataValue};

/// Reports that wait to be sent; an operator that lets more wait is left.
const REPORTS_MAX: usize = 64;
/// The largest token or bundle of certificates, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// What an operator may send before we read it.
const WINDOW_BYTES: u32 = 1024 * 1024;

/// What is heard of a stream.
pub(super) enum Heard {
    /// It begins: it wants to be told who we are and what is in force.
    Open(mpsc::Sender<wire::Report>),
    /// The operator sent this.
    Said(wire::Update),
    /// It is over.
    Ended(LinkError),
}

/// Which stream it is heard of.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) address: SocketAddr,
    pub(super) heard: mpsc::Sender<(u64, SocketAddr, Heard)>,
}

/// Why a stream is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("reading {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} holds no certificate in PEM", path.display())]
    Authorities { path: PathBuf },
    #[error("{} holds no token", path.display())]
    Token { path: PathBuf },
    #[error("setting up TLS")]
    Tls(#[from] rustls::Error),
    #[error("connecting")]
    Connect(#[source] io::Error),
    #[error("verifying who answers")]
    Handshake(#[source] io::Error),
    #[error("it took more than {} ms", .0.as_millis())]
    TooSlow(Duration),
    #[error("speaking HTTP/2")]
    Http(#[from] hyper::Error),
    #[error("the operator says: {} ({:?})", .0.message(), .0.code())]
    Status(#[from] Status),
    #[error("the operator ended the stream")]
    Ended,
}

impl Link {
    pub(super) async fn say(&self, heard: Heard) {
        // Nobody listens any more when the whole following ends.
        let _ = self.heard.send((self.number, self.address, heard)).await;
    }

    /// Runs until the stream is over.
    pub(super) async fn run(&self, control: &Control, tasks: &TaskTracker) -> LinkError {
        match self.connect(control, tasks).await {
            Ok(()) => LinkError::Ended,
            Err(error) => error,
        }
    }

    async fn connect(&self, control: &Control, tasks: &TaskTracker) -> Result<(), LinkError> {
        // Both files are replaced while we run, so each connection reads them anew.
        let token = match &control.token {
            Some(path) => Some(token(path).await?),
            None => None,
        };
        let wait = control.waits.connect;
        let socket = timeout(wait, TcpStream::connect(self.address));
        let socket = socket.await.map_err(|_elapsed| LinkError::TooSlow(wait))?;
        let socket = socket.map_err(LinkError::Connect)?;
        // Small messages are not held back.
        let _best_effort = socket.set_nodelay(true);
        if !control.address.is_tls {
            return self.talk(socket, token, control, tasks).await;
        }
        let connector = TlsConnector::from(Arc::new(tls(control.authorities.as_deref()).await?));
        let secured = timeout(wait, connector.connect(control.server_name.clone(), socket));
        let secured = secured.await.map_err(|_elapsed| LinkError::TooSlow(wait))?;
        let secured = secured.map_err(LinkError::Handshake)?;
        self.talk(Box::new(secured), token, control, tasks).await
    }

    async fn talk(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        token: Option<Bearer>,
        control: &Control,
        tasks: &TaskTracker,
    ) -> Result<(), LinkError> {
        let waits = &control.waits;
        let (sender, connection) = http2::Builder::new(Tasks(tasks.clone()))
            .timer(TokioTimer::new())
            .keep_alive_interval(waits.ping)
            .keep_alive_timeout(waits.ping)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .handshake(TokioIo::new(stream))
            .await?;
        let service = tower::service_fn(move |request| {
            let mut sender = sender.clone();
            async move { sender.send_request(request).await }
        });
        let client = PushClient::with_origin(service, control.address.origin.clone());
        let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        let exchange = async {
            let (reports, outgoing) = mpsc::channel(REPORTS_MAX);
            self.say(Heard::Open(reports)).await;
            let mut request = Request::new(ReceiverStream::new(outgoing));
            if let Some(token) = token {
                request.metadata_mut().insert("authorization", token);
            }
            let answer = timeout(waits.answer, client.follow(request));
            let answer = answer.await.map_err(|_elapsed| LinkError::TooSlow(waits.answer))?;
            let mut updates = answer?.into_inner();
            while let Some(update) = updates.message().await? {
                self.say(Heard::Said(update)).await;
            }
            Ok(())
        };
        let (connection, mut exchange) = (pin!(connection), pin!(exchange));
        tokio::select! {
            // What the operator said last is heard before that it has gone.
            biased;
            exchanged = &mut exchange => return exchanged,
            closed = connection => closed?,
        }
        // It has gone in good order, and what it said last may still be on its way to us.
        timeout(waits.answer, exchange).await.unwrap_or(Ok(()))
    }
}

type Bearer = MetadataValue<tonic::metadata::Ascii>;

async fn token(path: &Path) -> Result<Bearer, LinkError> {
    let text = read(path).await?;
    let text = String::from_utf8(text).ok().filter(|text| !text.trim().is_empty());
    let bearer = text.map(|text| format!("Bearer {}", text.trim()));
    let bearer = bearer.and_then(|it| Bearer::try_from(it).ok());
    let mut bearer = bearer.ok_or_else(|| LinkError::Token { path: path.to_owned() })?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

async fn tls(authorities: Option<&Path>) -> Result<ClientConfig, LinkError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = authorities {
        let pem = read(path).await?;
        let none = || LinkError::Authorities { path: path.to_owned() };
        let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        roots.add_parsable_certificates(certificates.map_err(|_pem| none())?);
        if roots.is_empty() {
            return Err(none());
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

async fn read(path: &Path) -> Result<Vec<u8>, LinkError> {
    let failed = |source| LinkError::File { path: path.to_owned(), source };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).await.map_err(failed)?;
    Ok(bytes)
}

/// Runs what a connection does beside, on a tracker that shutdown waits for.
#[derive(Clone)]
struct Tasks(TaskTracker);

impl<F> Executor<F> for Tasks
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, work: F) {
        self.0.spawn(work);
    }
}
