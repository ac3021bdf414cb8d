//! A scripted operator, over TLS and HTTP/2 like the real one.

use crate::support::{PATIENCE, eventually};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use llm_contract::push::{
    Change, Digest, Documents, Kind, Name,
    wire::{
        self, Applied, Report, Update,
        push_server::{self, PushServer},
        report,
    },
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;
use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming, codegen::Service as _};

/// The name in the certificate.
pub(crate) const NAME: &str = "llm-operator.llm.svc";
/// The accepted token, unless a test changes it.
pub(crate) const TOKEN: &str = "token-canary";

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([NAME.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// An operator, until it is dropped.
pub(crate) struct Operator {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

/// A log of one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamLog {
    pub(crate) hello: wire::Hello,
    /// Snapshots sent.
    pub(crate) snapshots: usize,
    /// Snapshots and deltas sent.
    pub(crate) updates: usize,
    pub(crate) reports: Vec<Applied>,
    /// Keys that were reported as used.
    pub(crate) used: Vec<wire::KeyUse>,
}

struct Shared {
    documents: Mutex<Documents>,
    /// All former tables.
    history: Mutex<Vec<Documents>>,
    changed: watch::Sender<usize>,
    /// Sent verbatim to the subscriber.
    raw: watch::Sender<Vec<Update>>,
    token: Mutex<String>,
    streams: Mutex<Vec<StreamLog>>,
    refused: Mutex<usize>,
    cut: Mutex<CancellationToken>,
    /// Documents in one chunk.
    chunk: usize,
    tasks: TaskTracker,
}

impl Operator {
    pub(crate) async fn start(authority: &Authority) -> Self {
        Self::with_chunks(authority, 100).await
    }

    /// Sends this many documents in one chunk.
    pub(crate) async fn with_chunks(authority: &Authority, chunk: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            documents: Mutex::default(),
            history: Mutex::new(vec![Documents::default()]),
            changed: watch::channel(0).0,
            raw: watch::channel(Vec::new()).0,
            token: Mutex::new(TOKEN.to_owned()),
            streams: Mutex::default(),
            refused: Mutex::default(),
            cut: Mutex::default(),
            chunk,
            tasks: TaskTracker::new(),
        });
        let mut serving = JoinSet::new();
        let (acceptor, serves) = (authority.acceptor(), Arc::clone(&shared));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                connections.spawn(connection(Arc::clone(&serves), acceptor.clone(), socket));
            }
        });
        Self { address, shared, _serving: serving }
    }

    /// Publishes a change.
    pub(crate) fn publish(&self, change: Change) {
        let mut documents = self.shared.documents.lock().unwrap();
        documents.apply(change);
        self.shared.history.lock().unwrap().push(documents.clone());
        drop(documents);
        self.shared.changed.send_modify(|count| *count += 1);
    }

    pub(crate) fn put(&self, documents: impl IntoIterator<Item = (Name, Value)>) {
        let text = |(name, value): (Name, Value)| (name, value.to_string().into());
        let upserts = documents.into_iter().map(text).collect();
        self.publish(Change { upserts, removals: Vec::new() });
    }

    pub(crate) fn remove(&self, name: Name) {
        self.publish(Change { upserts: Vec::new(), removals: vec![name] });
    }

    pub(crate) fn documents(&self) -> Documents {
        self.shared.documents.lock().unwrap().clone()
    }

    /// Sends these messages verbatim.
    pub(crate) fn send_raw(&self, updates: Vec<Update>) {
        self.shared.raw.send_replace(updates);
    }

    pub(crate) fn expect_token(&self, token: &str) {
        *self.shared.token.lock().unwrap() = token.to_owned();
    }

    /// Ends every stream.
    pub(crate) fn cut(&self) {
        std::mem::take(&mut *self.shared.cut.lock().unwrap()).cancel();
    }

    /// The logs of all streams so far.
    pub(crate) fn streams(&self) -> Vec<StreamLog> {
        self.shared.streams.lock().unwrap().clone()
    }

    /// Streams without an accepted token.
    pub(crate) fn refused(&self) -> usize {
        *self.shared.refused.lock().unwrap()
    }

    pub(crate) fn last_report(&self) -> Option<Applied> {
        self.streams().iter().rev().find_map(|seen| seen.reports.last().cloned())
    }

    /// Waits until a proxy reports the current table.
    pub(crate) async fn until_applied(&self) {
        let expected = self.documents().digest().to_vec();
        eventually(|| self.last_report().is_some_and(|report| report.digest == expected)).await;
    }

    pub(crate) async fn until_streams(&self, count: usize) {
        eventually(|| count <= self.streams().len()).await;
    }
}

async fn connection(shared: Arc<Shared>, acceptor: TlsAcceptor, socket: TcpStream) {
    let Ok(tls) = acceptor.accept(socket).await else { return };
    let refused = CancellationToken::new();
    let push = PushServer::new(PushService { shared, refused: refused.clone() });
    let service = service_fn(move |request: http::Request<Incoming>| {
        let mut push = push.clone();
        async move { push.call(request).await }
    });
    let serving =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tls), service);
    let mut serving = pin!(serving);
    tokio::select! {
        _ended = &mut serving => return,
        () = refused.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ended = serving.await;
}

struct PushService {
    shared: Arc<Shared>,
    /// Closes the connection, as the operator does after it rejected a token.
    refused: CancellationToken,
}

#[tonic::async_trait]
impl push_server::Push for PushService {
    type FollowStream = ReceiverStream<Result<Update, Status>>;

    async fn follow(
        &self,
        request: Request<Streaming<Report>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let shared = Arc::clone(&self.shared);
        let expected = format!("Bearer {}", shared.token.lock().unwrap());
        let shown = request.metadata().get("authorization").and_then(|it| it.to_str().ok());
        if shown != Some(&*expected) {
            *shared.refused.lock().unwrap() += 1;
            self.refused.cancel();
            return Err(Status::unauthenticated("the token is not valid"));
        }
        let mut reports = request.into_inner();
        // Reads before it responds, as a handler may.
        let hello = tokio::time::timeout(PATIENCE, reports.message()).await.unwrap()?;
        let Some(report::Report::Hello(hello)) = hello.and_then(|it| it.report) else {
            return Err(Status::invalid_argument("no hello"));
        };
        let number = {
            let mut streams = shared.streams.lock().unwrap();
            streams.push(StreamLog { hello: hello.clone(), ..StreamLog::default() });
            streams.len() - 1
        };
        let (updates, messages) = mpsc::channel(4);
        let cut = shared.cut.lock().unwrap().clone();
        let tasks = shared.tasks.clone();
        tasks.spawn(async move {
            let (receiver, sender) = (Arc::clone(&shared), Arc::clone(&shared));
            let receive = async move {
                while let Ok(Some(report)) = reports.message().await {
                    let seen = &mut receiver.streams.lock().unwrap()[number];
                    match report.report {
                        Some(report::Report::Applied(report)) => seen.reports.push(report),
                        Some(report::Report::KeyUsage(used)) => seen.used.extend(used.keys),
                        Some(report::Report::Hello(_)) | None => {}
                    }
                }
            };
            let send = async move {
                if hello.follow {
                    sender.send_updates(number, &hello, updates).await;
                } else {
                    updates.closed().await;
                }
            };
            tokio::select! {
                () = receive => {}
                () = send => {}
                () = cut.cancelled() => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

impl Shared {
    async fn send_updates(
        &self,
        number: usize,
        hello: &wire::Hello,
        updates: mpsc::Sender<Result<Update, Status>>,
    ) {
        let (mut changed, mut raw) = (self.changed.subscribe(), self.raw.subscribe());
        let mut sent = Digest::parse(&hello.digest).unwrap();
        let mut sequence = 0;
        // Nothing is sent before the first publish.
        let _ = changed.wait_for(|count| 0 < *count).await;
        loop {
            let documents = self.documents.lock().unwrap().clone();
            if sent != Some(documents.digest()) {
                sequence += 1;
                for chunk in self.chunks(number, sequence, sent, &documents) {
                    if updates.send(Ok(chunk)).await.is_err() {
                        return;
                    }
                }
                sent = Some(documents.digest());
            }
            tokio::select! {
                _ = changed.changed() => {}
                _ = raw.changed() => {
                    let messages_raw = raw.borrow().clone();
                    for update in messages_raw {
                        if updates.send(Ok(update)).await.is_err() {
                            return;
                        }
                    }
                }
                () = updates.closed() => return,
            }
        }
    }

    fn chunks(
        &self,
        number: usize,
        sequence: u64,
        sent: Option<Digest>,
        documents: &Documents,
    ) -> Vec<Update> {
        let history = self.history.lock().unwrap();
        let before = sent.and_then(|sent| history.iter().find(|it| it.digest() == sent));
        let mut change = documents.since(before.unwrap_or(&Documents::default()));
        let mut streams = self.streams.lock().unwrap();
        let seen = &mut streams[number];
        seen.updates += 1;
        seen.snapshots += usize::from(before.is_none());
        let mut chunks = Vec::new();
        loop {
            let rest = change.upserts.split_off(change.upserts.len().min(self.chunk));
            let update = Update {
                sequence,
                from: before.map_or_else(Vec::new, |it| it.digest().to_vec()),
                digest: documents.digest().to_vec(),
                more: !rest.is_empty(),
                ..message(change)
            };
            let more = update.more;
            chunks.push(update);
            if !more {
                return chunks;
            }
            change = Change { upserts: rest, removals: Vec::new() };
        }
    }
}

/// A change as a message without digests and sequence.
pub(crate) fn message(change: Change) -> Update {
    let kind = |name: &Name| name.kind.to_wire().into();
    let upserts = change.upserts.into_iter().map(|(name, document)| wire::Resource {
        kind: kind(&name),
        name: name.name.to_string(),
        document,
    });
    let removals = change
        .removals
        .into_iter()
        .map(|name| wire::Name { kind: kind(&name), name: name.name.to_string() });
    Update { upserts: upserts.collect(), removals: removals.collect(), ..Update::default() }
}

pub(crate) fn routes(name: &str) -> Name {
    Name::new(Kind::Routes, format!("models/{name}"))
}

pub(crate) fn key_name(id: &str) -> Name {
    Name::new(Kind::Key, id)
}
