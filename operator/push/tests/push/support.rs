//! A push server on an ephemeral port, and test proxies.

use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use llm_contract::{
    Secret,
    push::{
        Change, Digest, Documents, Kind, Name,
        wire::{
            Applied, Hello, RejectedResource, Report, RouteState, Update, push_client::PushClient,
            report,
        },
    },
};
use llm_push::{
    Authenticate, AuthenticateError, Authority, Peer, PeerIdentity, ProxyStatus, Push, PushLimits,
    RotationStep, ServingCertificate,
};
use prometheus_client::registry::Registry;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{
    Code, Request, Status, Streaming,
    transport::{Channel, Endpoint},
};

/// How long a test waits for what should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const NAME: &str = "llm-operator-push.llm.svc";

pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Accepts `good`, `short`, which expires within the test's patience, and `pod-NAME` of one proxy.
struct Tokens;

#[tonic::async_trait]
impl Authenticate for Tokens {
    async fn authenticate(&self, token: &Secret) -> Result<Peer, AuthenticateError> {
        let valid = |identity, left| Ok(Peer { identity, expires_at: Timestamp::now() + left });
        let account = || PeerIdentity::Account("llm:llm-proxy".into());
        match token.reveal() {
            "good" => valid(account(), SignedDuration::from_mins(10)),
            "short" => valid(account(), SignedDuration::from_secs(8)),
            pod if pod.starts_with("pod-") => {
                valid(PeerIdentity::Proxy(pod.into()), SignedDuration::from_mins(10))
            }
            "expired" => valid(account(), SignedDuration::from_secs(-1)),
            "stuck" => std::future::pending().await,
            "other-audience" => {
                let reason = "it is for audience \"api\", not \"llm-push\"".to_owned();
                Err(AuthenticateError::Unauthenticated { reason })
            }
            "other-account" => {
                let reason = "llm:web may not follow; only llm:llm-proxy may".to_owned();
                Err(AuthenticateError::Forbidden { reason })
            }
            _ => Err(AuthenticateError::Unauthenticated { reason: "it is unknown".to_owned() }),
        }
    }
}

/// An operator that runs until the test ends.
pub(crate) struct Operator {
    pub(crate) push: Push,
    pub(crate) address: SocketAddr,
    pub(crate) authority: Authority,
    pub(crate) certificate: ServingCertificate,
    pub(crate) stop: CancellationToken,
    _stops: DropGuard,
}

/// On a busy machine, no connection times out and no heartbeat is sent between two changes.
pub(crate) fn limits() -> PushLimits {
    let ages = Duration::from_secs(600);
    PushLimits {
        handshake_timeout: PATIENCE,
        ack_timeout: ages,
        heartbeat_interval: ages,
        ping_interval: ages,
        ..PushLimits::default()
    }
}

/// Connections that do not proceed are closed within the test's patience; others, on a busy
/// machine, are not.
pub(crate) fn hasty() -> PushLimits {
    PushLimits { handshake_timeout: Duration::from_secs(6), ..limits() }
}

pub(crate) fn authority() -> Authority {
    Authority::advance(None, RotationStep::Create, Timestamp::now()).unwrap()
}

impl Operator {
    pub(crate) async fn start() -> Self {
        Self::with(limits()).await
    }

    pub(crate) async fn with(limits: PushLimits) -> Self {
        let authority = authority();
        let issued = authority.issue(&[NAME.to_owned()], Timestamp::now()).unwrap();
        let certificate = ServingCertificate::new(issued);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (push, stop) = (Push::new(Tokens, limits), CancellationToken::new());
        let (serving, serves, stops) = (push.clone(), certificate.clone(), stop.clone());
        tokio_util::task::TaskTracker::new()
            .spawn(async move { serving.serve(listener, serves, stops).await.unwrap() });
        let _stops = stop.clone().drop_guard();
        Self { push, address, authority, certificate, stop, _stops }
    }

    /// The metrics as OpenMetrics text.
    pub(crate) fn metrics(&self) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        self.push.stats().register(&mut registry);
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    pub(crate) fn publish(&self, upserts: &[(&str, &str)], removals: &[&str]) {
        let published = self.push.table().publish(change(upserts, removals), now());
        assert_eq!(published.too_large, []);
    }

    pub(crate) async fn channel(&self) -> Channel {
        channel(self.address, &self.authority.bundle()).await.unwrap()
    }

    /// A proxy that follows.
    pub(crate) async fn proxy(&self, name: &str) -> Proxy {
        Proxy::begin(self.channel().await, "good", hello(name, None)).await.unwrap()
    }

    /// Waits until this is so.
    pub(crate) async fn until(&self, what: impl Fn(&[ProxyStatus]) -> bool) {
        let wait = async {
            while !what(&self.push.proxies().list(now())) {
                self.push.proxies().changed().await;
            }
        };
        let waited = timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "still {:?}", self.push.proxies().list(now()));
    }
}

pub(crate) fn routes(name: &str) -> Name {
    Name::new(Kind::Routes, name)
}

pub(crate) fn change(upserts: &[(&str, &str)], removals: &[&str]) -> Change {
    let upsert = |(name, document): &(&str, &str)| {
        (routes(name), bytes::Bytes::copy_from_slice(document.as_bytes()))
    };
    Change {
        upserts: upserts.iter().map(upsert).collect(),
        removals: removals.iter().map(|name| routes(name)).collect(),
    }
}

pub(crate) fn hello(name: &str, digest: Option<Digest>) -> Hello {
    Hello {
        proxy: name.to_owned(),
        version: "1.2.3".to_owned(),
        schema: llm_contract::Table::VERSION,
        follow: true,
        digest: digest.map_or_else(Vec::new, Digest::to_vec),
    }
}

type Secured = tokio_rustls::client::TlsStream<TcpStream>;

/// TLS to whoever has a certificate of one of these roots.
pub(crate) async fn tls(address: SocketAddr, bundle: &str) -> std::io::Result<Secured> {
    tls_from(Ipv4Addr::LOCALHOST, address, bundle).await
}

pub(crate) async fn tls_from(
    source: Ipv4Addr,
    address: SocketAddr,
    bundle: &str,
) -> std::io::Result<Secured> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    let socket = socket.connect(address).await?;
    let name = ServerName::try_from(NAME).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

pub(crate) async fn channel(
    address: SocketAddr,
    bundle: &str,
) -> Result<Channel, tonic::transport::Error> {
    let bundle = bundle.to_owned();
    Endpoint::from_static("http://llm-operator-push.llm.svc")
        .connect_with_connector(tower::service_fn(move |_| {
            let bundle = bundle.clone();
            async move { tls(address, &bundle).await.map(TokioIo::new) }
        }))
        .await
}

/// A channel over this one connection.
pub(crate) async fn over(stream: Secured) -> Channel {
    let mut stream = Some(TokioIo::new(stream));
    Endpoint::from_static("http://llm-operator-push.llm.svc")
        .connect_with_connector(tower::service_fn(move |_| {
            let stream = stream.take().ok_or(std::io::ErrorKind::NotConnected);
            async move { stream.map_err(std::io::Error::from) }
        }))
        .await
        .unwrap()
}

/// A proxy that applies what it is sent.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) updates: Streaming<Update>,
    pub(crate) documents: Documents,
}

/// An update, reassembled.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) sequence: u64,
    pub(crate) whole: bool,
    pub(crate) parts: usize,
    pub(crate) bytes: usize,
    pub(crate) change: Change,
    /// The difference to the proxy's former documents.
    pub(crate) differs: Change,
}

impl Proxy {
    /// Opens a stream and says hello.
    pub(crate) async fn begin(channel: Channel, token: &str, hello: Hello) -> Result<Self, Status> {
        let proxy = Self::silent(channel, token).await?;
        proxy.say(report::Report::Hello(hello)).await;
        Ok(proxy)
    }

    /// Opens a stream and sends nothing.
    pub(crate) async fn silent(channel: Channel, token: &str) -> Result<Self, Status> {
        let (reports, sent) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(sent));
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let updates = PushClient::new(channel).follow(request).await?.into_inner();
        Ok(Self { reports, updates, documents: Documents::default() })
    }

    pub(crate) async fn say(&self, report: report::Report) {
        // The stream may have ended; then reading from it says why.
        let _ = self.reports.send(Report { report: Some(report) }).await;
    }

    /// The next update, applied; not acknowledged.
    pub(crate) async fn receive(&mut self) -> Result<Received, Status> {
        let (change, differs) = (Change::default(), Change::default());
        let mut received =
            Received { sequence: 0, whole: false, parts: 0, bytes: 0, change, differs };
        loop {
            let update = timeout(PATIENCE, self.updates.message()).await.expect("nothing came");
            let Some(update) = update? else {
                return Err(Status::new(Code::Ok, "ended"));
            };
            let from = Digest::parse(&update.from).unwrap();
            let digest = Digest::parse(&update.digest).unwrap();
            received.bytes += prost::Message::encoded_len(&update);
            received.parts += 1;
            received.sequence = update.sequence;
            received.change.extend(update.upserts, update.removals).unwrap();
            if update.more {
                continue;
            }
            received.whole = from.is_none();
            if let Some(from) = from {
                assert_eq!(from, self.documents.digest());
                self.documents.apply(received.change.clone());
                received.differs = received.change.clone();
            } else {
                let before = std::mem::take(&mut self.documents);
                self.documents.apply(received.change.clone());
                received.differs = self.documents.since(&before);
            }
            assert_eq!(Some(self.documents.digest()), digest);
            return Ok(received);
        }
    }

    /// The next update, applied and acknowledged.
    pub(crate) async fn follow(&mut self) -> Received {
        let received = self.receive().await.unwrap();
        self.acknowledge(&received).await;
        received
    }

    pub(crate) async fn acknowledge(&self, received: &Received) {
        self.acknowledge_with(received.sequence, self.states(&received.differs), Vec::new()).await;
    }

    pub(crate) async fn acknowledge_with(
        &self,
        sequence: u64,
        routes: Vec<RouteState>,
        rejected: Vec<RejectedResource>,
    ) {
        let digest = self.documents.digest().to_vec();
        self.say(report::Report::Applied(Applied { sequence, digest, routes, rejected })).await;
    }

    /// The routes of a change.
    pub(crate) fn states(&self, change: &Change) -> Vec<RouteState> {
        let names = change.upserts.iter().map(|(name, _)| name).chain(&change.removals);
        let state = |name: &Name| RouteState {
            name: name.name.to_string(),
            hash: self.documents.hash(name).map_or(0, |hash| hash.get()),
        };
        names.filter(|name| name.kind == Kind::Routes).map(state).collect()
    }

    /// The status that ends the stream.
    pub(crate) async fn end(&mut self) -> (Code, String) {
        loop {
            match timeout(PATIENCE, self.updates.message()).await.expect("the stream goes on") {
                Ok(Some(_)) => {}
                Ok(None) => return (Code::Ok, String::new()),
                Err(status) => return (status.code(), status.message().to_owned()),
            }
        }
    }
}
