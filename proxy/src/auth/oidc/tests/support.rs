//! An issuer to test against: keys that sign, and a server on loopback that publishes them.

use crate::auth::oidc::{IssuerConfig, Issuers, TokenError, VerifiedClaims, jwk::Jwks};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{
        self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding,
        RsaKeyPair,
    },
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock, Mutex, mpsc},
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    task::{JoinSet, spawn_blocking},
};

/// The time of every test, in seconds since 1970.
pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const AUDIENCE: &str = "llm";

/// A key of these tests only: `ring` makes none.
static RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::from_pkcs8(include_bytes!("rsa-2048.pk8")).unwrap());

pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A private key with an id.
pub(super) struct Signer {
    pub(super) id: &'static str,
    key: SigningKey,
}

enum SigningKey {
    Rsa(&'static RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// A key that can sign with this algorithm. All RSA signers share one key.
    pub(super) fn new(id: &'static str, algorithm: &str) -> Self {
        let random = SystemRandom::new();
        let ec = |algorithm: &'static EcdsaSigningAlgorithm| {
            let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap()
        };
        let ed25519 = || {
            let document = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
            Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()
        };
        let key = match algorithm {
            "ES256" => SigningKey::P256(ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)),
            "ES384" => SigningKey::P384(ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING)),
            "EdDSA" => SigningKey::Ed25519(ed25519()),
            _ => SigningKey::Rsa(&RSA),
        };
        Self { id, key }
    }

    /// The public key, without `alg` and `use`.
    pub(super) fn jwk(&self) -> Value {
        let ec = |curve, key: &EcdsaKeyPair| {
            let point = &key.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            json!({"kid": self.id, "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
        };
        match &self.key {
            SigningKey::Rsa(key) => {
                let PublicKeyComponents { n, e } =
                    PublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({"kid": self.id, "kty": "RSA", "n": encode(n), "e": encode(e)})
            }
            SigningKey::P256(key) => ec("P-256", key),
            SigningKey::P384(key) => ec("P-384", key),
            SigningKey::Ed25519(key) => {
                let x = encode(key.public_key());
                json!({"kid": self.id, "kty": "OKP", "crv": "Ed25519", "x": x})
            }
        }
    }

    /// A token with a header of our choice. `alg` picks the padding and digest of an RSA key.
    pub(super) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match &self.key {
            SigningKey::Rsa(key) => {
                let padding: &'static dyn RsaEncoding = match header["alg"].as_str().unwrap() {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut bytes = vec![0; key.public().modulus_len()];
                key.sign(padding, &random, signed.as_bytes(), &mut bytes).unwrap();
                bytes
            }
            SigningKey::P256(key) | SigningKey::P384(key) => {
                key.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec()
            }
            SigningKey::Ed25519(key) => key.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", encode(signature))
    }

    /// A token with this algorithm and the signer's id.
    pub(super) fn sign(&self, algorithm: &str, claims: &Value) -> String {
        self.sign_with(&json!({"alg": algorithm, "kid": self.id, "typ": "JWT"}), claims)
    }
}

/// Claims of a good token.
pub(super) fn claims(issuer: &str) -> Value {
    json!({
        "iss": issuer,
        "aud": AUDIENCE,
        "exp": NOW + 300,
        "iat": NOW,
        "sub": "4711",
        "preferred_username": "ada",
        "groups": ["/science", "staff"],
    })
}

/// An issuer with the usual claim names.
pub(super) fn config(issuer: &str) -> IssuerConfig {
    IssuerConfig {
        issuer: issuer.to_owned(),
        audiences: vec![AUDIENCE.to_owned()],
        groups_claim: "groups".to_owned(),
        username_claim: "preferred_username".to_owned(),
        ca: None,
    }
}

/// The keys of a JWKS with these members.
pub(super) fn keys(jwks: &[Value]) -> Jwks {
    Jwks::parse(json!({ "keys": jwks }).to_string().as_bytes(), None).unwrap()
}

/// An answer of the server.
#[derive(Clone, Default)]
pub(super) struct Answer {
    pub(super) status: &'static str,
    pub(super) headers: String,
    pub(super) body: String,
}

/// What the server publishes now, and what it was asked.
#[derive(Default)]
pub(super) struct Published {
    pub(super) discovery: Answer,
    pub(super) jwks: Answer,
    /// Accept the request for the JWKS and never answer it.
    pub(super) hangs: bool,
    pub(super) jwks_fetches: usize,
}

/// A server that publishes keys, until it is dropped. As long, paused time stands still.
pub(super) struct Idp {
    pub(super) issuer: String,
    pub(super) published: Arc<Mutex<Published>>,
    server: JoinSet<()>,
    _hold: mpsc::SyncSender<()>,
}

impl Answer {
    pub(super) fn ok(body: &(impl ToString + ?Sized)) -> Self {
        Self { status: "200 OK", headers: String::new(), body: body.to_string() }
    }
}

impl Idp {
    /// Starts a server that publishes the keys of these signers.
    pub(super) async fn start(signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let issuer = issuer_at(address);
        let discovery =
            Answer::ok(&json!({"issuer": issuer, "jwks_uri": format!("{issuer}/jwks")}));
        let published = Arc::new(Mutex::new(Published { discovery, ..Published::default() }));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&published)));
        let idp = Self { issuer, published, server, _hold: hold_time() };
        idp.publish(signers);
        idp
    }

    /// Publishes these keys and no others.
    pub(super) fn publish(&self, signers: &[&Signer]) {
        let jwks: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
        self.published.lock().unwrap().jwks = Answer::ok(&json!({ "keys": jwks }));
    }

    /// Goes away, as if the machine were gone.
    pub(super) async fn stop(&mut self) {
        self.server.shutdown().await;
    }

    /// How often the JWKS was fetched.
    pub(super) fn fetches(&self) -> usize {
        self.published.lock().unwrap().jwks_fetches
    }

    /// Issuers that trust this one.
    pub(super) fn trusted(&self) -> Arc<Issuers> {
        let issuers = Arc::new(Issuers::new(100));
        issuers.update(vec![config(&self.issuer)], &Handle::current()).unwrap();
        issuers
    }

    /// Issuers that trust this one and have its keys.
    pub(super) async fn known(&self) -> Arc<Issuers> {
        let issuers = self.trusted();
        eventually(|| self.has_keys(&issuers)).await;
        issuers
    }

    fn has_keys(&self, issuers: &Issuers) -> bool {
        issuers.in_force.load()[&self.issuer].jwks.load().is_some()
    }
}

fn issuer_at(address: SocketAddr) -> String {
    format!("http://{address}")
}

async fn serve(listener: TcpListener, published: Arc<Mutex<Published>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream, Arc::clone(&published)));
    }
}

async fn answer(mut stream: TcpStream, published: Arc<Mutex<Published>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let Answer { status, headers, body } = if request.starts_with(b"GET /jwks ") {
        let mut published = published.lock().unwrap();
        published.jwks_fetches += 1;
        published.jwks.clone()
    } else {
        published.lock().unwrap().discovery.clone()
    };
    if published.lock().unwrap().hangs {
        std::future::pending::<()>().await;
    }
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    // A client that has seen enough goes away before the end.
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

/// Waits until something holds. Works with paused time, which does not move meanwhile.
pub(super) async fn eventually(holds: impl Fn() -> bool) {
    for _ in 0..5000 {
        if holds() {
            return;
        }
        spawn_blocking(|| std::thread::sleep(Duration::from_millis(1))).await.unwrap();
    }
    panic!("it never came to hold");
}

/// Keeps paused time from running ahead while sockets work: tokio does not advance it while
/// something blocks. Until the sender is dropped, only `tokio::time::advance` moves it.
fn hold_time() -> mpsc::SyncSender<()> {
    let (hold, until_dropped) = mpsc::sync_channel(0);
    spawn_blocking(move || until_dropped.recv());
    hold
}

/// The refusal of a token that should be refused.
pub(super) fn refusal(result: Result<Arc<VerifiedClaims>, TokenError>) -> TokenError {
    result.unwrap_err()
}
