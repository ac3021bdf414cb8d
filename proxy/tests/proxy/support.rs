//! A whole proxy on ports of its own, simulated model servers behind it, and a client.

use jiff::Timestamp;
use llm_contract::{Hashing, KeyHash, KeyId, SecretKey, Table};
use llm_proxy::{
    auth::{key_verifier::KeyVerifier, oidc::Issuers},
    gateway::{Gateway, ServerLimits},
    server::{Listener, Server},
    stage::{accept::Entry, authenticate::Authenticator, read::BodyLimits, record::UsageEvent},
    upstream::AddressPolicy,
};
use llm_sim::{Config, Role, Sim};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::mpsc,
};

/// How long a test waits for what should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy that runs until the test ends.
pub(crate) struct Proxy {
    pub(crate) external: SocketAddr,
    pub(crate) internal: SocketAddr,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) events: mpsc::Receiver<UsageEvent>,
    pub(crate) server: Server,
}

/// Limits that tests can reach.
pub(crate) const LIMITS: ServerLimits = ServerLimits {
    header_bytes: 16 * 1024,
    connections: 4096,
    body: BodyLimits {
        body_bytes: 16 * 1024 * 1024,
        bodies_bytes: 256 * 1024 * 1024,
        body_wait: PATIENCE,
    },
};

impl Proxy {
    /// Serves these routes, with the keys of [`key`].
    pub(crate) async fn start(table: Value) -> Self {
        Self::with_limits(table, LIMITS).await
    }

    #[expect(clippy::unused_async, reason = "says that it must be called on a runtime")]
    pub(crate) async fn with_limits(table: Value, limits: ServerLimits) -> Self {
        let proxy = Self::without_table(limits);
        proxy.update(table);
        proxy
    }

    /// Nothing is in force yet.
    pub(crate) fn without_table(limits: ServerLimits) -> Self {
        let (sender, events) = mpsc::channel(1024);
        let authenticator = Authenticator {
            key_verifier: KeyVerifier::new(&[7; 64], None),
            issuers: Issuers::new(1000),
        };
        let gateway = Gateway::new(authenticator, limits, AddressPolicy::AllowAll, sender);
        let bind = |entry| Listener::bind(([127, 0, 0, 1], 0).into(), entry, None).unwrap();
        let (external, internal) = (bind(Entry::External), bind(Entry::Internal));
        let (external_at, internal_at) = (external.address, internal.address);
        let server = Server::start(Arc::clone(&gateway), vec![external, internal]);
        Self { external: external_at, internal: internal_at, gateway, events, server }
    }

    pub(crate) fn update(&self, table: Value) {
        self.gateway.update(Table::parse(table.to_string().as_bytes()).unwrap()).unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.external)
    }

    /// Posts JSON with the key of `ml-team`.
    pub(crate) async fn post(
        &self,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Response {
        reqwest::Client::new()
            .post(self.url(path))
            .header("authorization", bearer())
            .header("content-type", "application/json")
            .body(body)
            .timeout(PATIENCE)
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn chat(&self, model: &str) -> reqwest::Response {
        self.post("/v1/chat/completions", chat(model, false)).await
    }

    /// The next usage event.
    pub(crate) async fn usage(&mut self) -> UsageEvent {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.unwrap().unwrap()
    }
}

/// A key whose public part is `id`, with a fixed secret.
pub(crate) fn key(id: &str) -> SecretKey {
    SecretKey::assemble(&KeyId::parse(id).unwrap(), &[b'c'; 43])
}

/// The id of the key that tests use when it does not matter which.
pub(crate) const ME: &str = "meeeeeeeeeee";

pub(crate) fn bearer() -> String {
    format!("Bearer {}", key(ME).reveal())
}

/// The record of a key of [`key`], whose owner is in `groups`.
pub(crate) fn record(id: &str, groups: &[&str]) -> Value {
    let key = key(id);
    let hash = KeyHash::of(&key, Hashing::MINTED, [3; 16], None).unwrap();
    json!({
        "id": id, "clientId": format!("client-{id}"), "hash": hash, "models": ["*"],
        "owner": { "name": "alice", "groups": groups },
    })
}

/// A table with these routes and the key of [`ME`], whose owner is in `ml-team`.
pub(crate) fn table(routes: Value) -> Value {
    json!({ "version": 1, "revision": 1, "routes": routes, "keys": [record(ME, &["ml-team"])] })
}

/// A route that everyone may use.
pub(crate) fn served(model: &str, endpoints: &[String]) -> Value {
    json!({
        "model": model, "access": { "public": true },
        "upstream": { "served": { "endpoints": endpoints } },
    })
}

/// What a provider wants to see of the gateway.
pub(crate) const THEIRS: &str = "sk-theirs-0123456789";

/// A simulated provider.
pub(crate) async fn provider(config: Config) -> Sim {
    Sim::start(Config { role: Role::Provider, ..config }).await.unwrap()
}

/// A table whose only model is a provider's, who knows it as `there`.
pub(crate) fn provided(model: &str, url: &str, there: Option<&str>) -> Value {
    let mut table = table(json!([{
        "model": model, "access": { "public": true },
        "upstream": { "provider": { "name": "them", "model": there } },
    }]));
    table["providers"] =
        json!([{ "name": "them", "url": url, "credential": { "secret": THEIRS } }]);
    table
}

pub(crate) fn chat(model: &str, stream: bool) -> String {
    json!({
        "messages": [{ "role": "user", "content": "Say something." }],
        "model": model, "stream": stream, "max_tokens": 8,
    })
    .to_string()
}

/// An address where nothing listens, as long as the tests run: the port stays taken.
pub(crate) fn nowhere() -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    format!("http://{address}")
}

/// Waits until something holds.
pub(crate) async fn eventually(mut holds: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(1));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(looks.tick().await < deadline, "it never came to hold");
    }
}

/// Sends bytes as they are; what comes back until the connection ends, or nothing more comes
/// for a while.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The proxy may answer, and close, before all is written.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = async {
        let mut part = vec![0; 64 * 1024];
        loop {
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => break,
                Ok(count) => answer.extend_from_slice(&part[..count]),
            }
            if is_complete(&answer) {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(PATIENCE, read).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Whether an answer has come whole, by its Content-Length.
fn is_complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_lowercase();
    let Some((header, body)) = text.split_once("\r\n\r\n") else { return false };
    header
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|length| length.parse::<usize>().ok())
        .is_some_and(|length| length <= body.len())
}

/// Now, for tables with times in them.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
