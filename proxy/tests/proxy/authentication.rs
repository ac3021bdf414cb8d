//! Who gets in, through which entry, and from when on no longer.

use crate::support::{
    LIMITS, ME, PATIENCE, Proxy, bearer, chat, eventually, key, now, nowhere, raw, record, served,
    table,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use llm_contract::{Hashing, KeyHash, KeyId, SecretKey};
use llm_sim::{Config, Sim};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::Builder,
    task::{JoinSet, spawn_blocking},
};

const MODEL: &str = "tiny";
const CHAT: &str = "/v1/chat/completions";

async fn sim() -> Sim {
    Sim::start(Config::default()).await.unwrap()
}

/// A table in which only `science` may use the model.
fn restricted(sim: &Sim, keys: &[Value]) -> Value {
    let mut route = served(MODEL, &[sim.url()]);
    route["access"] = json!({ "groups": ["science"] });
    json!({ "version": 1, "routes": [route], "keys": keys })
}

/// The same key id with another secret: what rotation makes.
fn rotated(id: &str) -> SecretKey {
    SecretKey::assemble(&KeyId::parse(id).unwrap(), &[b'r'; 43])
}

fn hash(key: &SecretKey) -> Value {
    serde_json::to_value(KeyHash::of(key, Hashing::MINTED, [9; 16], None).unwrap()).unwrap()
}

async fn chat_with(proxy: &Proxy, header: &str, value: &str) -> reqwest::Response {
    chat_at(proxy.external, header, value).await
}

async fn chat_at(address: SocketAddr, header: &str, value: &str) -> reqwest::Response {
    reqwest::Client::new()
        .post(format!("http://{address}{CHAT}"))
        .header(header, value)
        .header("content-type", "application/json")
        .body(chat(MODEL, false))
        .timeout(PATIENCE)
        .send()
        .await
        .unwrap()
}

async fn status_with(proxy: &Proxy, key: &SecretKey) -> u16 {
    chat_with(proxy, "x-api-key", key.reveal()).await.status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_accepted_in_each_of_its_three_headers() {
    let sim = sim().await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()])]))).await;
    let key = key(ME);
    for (header, value) in [
        ("authorization", bearer()),
        ("authorization", format!("bearer  {}", key.reveal())),
        ("x-api-key", key.reveal().to_owned()),
        ("api-key", key.reveal().to_owned()),
    ] {
        assert_eq!(chat_with(&proxy, header, &value).await.status(), 200, "{header}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_invalid_key_gets_the_same_reply() {
    let sim = sim().await;
    let hour = jiff::SignedDuration::from_hours(1);
    let mut keys =
        ["expiredddddd", "suspendedddd", "notyettttttt", ME].map(|id| record(id, &["science"]));
    keys[0]["expiresAt"] = (now() - hour).to_string().into();
    keys[1]["suspended"] = true.into();
    keys[2]["notBefore"] = (now() + hour).to_string().into();
    let proxy = Proxy::start(restricted(&sim, &keys)).await;
    let mut typo = key(ME).reveal().to_owned();
    typo.replace_range(30..31, "-");
    for path in [CHAT, "/v1/messages", "/v1/models"] {
        let mut answers = Vec::new();
        for credential in [
            format!("Bearer {}", key("unknownnnnnn").reveal()),
            format!("Bearer {}", key("expiredddddd").reveal()),
            format!("Bearer {}", key("suspendedddd").reveal()),
            format!("Bearer {}", key("notyettttttt").reveal()),
            format!("Bearer {}", rotated(ME).reveal()),
            format!("Bearer {typo}"),
            "Bearer x".to_owned(),
            "Basic bWU6bWU=".to_owned(),
            String::new(),
        ] {
            let request = reqwest::Client::new().post(proxy.url(path)).body(chat(MODEL, false));
            let request = if path == "/v1/models" {
                reqwest::Client::new().get(proxy.url(path))
            } else {
                request
            };
            let answer = request
                .header("authorization", &credential)
                .header("x-request-id", "same")
                .send()
                .await
                .unwrap();
            let mut headers = answer.headers().clone();
            headers.remove("date");
            answers.push((answer.status(), headers, answer.text().await.unwrap()));
        }
        let (status, headers, body) = &answers[0];
        assert_eq!(*status, 401, "{path}");
        assert_eq!(headers["www-authenticate"], "Bearer");
        assert_eq!(headers["content-type"], "application/json");
        let error = if path == "/v1/messages" { "authentication_error" } else { "invalid_api_key" };
        assert!(body.contains(error), "{body}");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
    assert!(sim.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn until_a_table_is_loaded_no_credential_is_reported_as_wrong() {
    let sim = sim().await;
    let proxy = Proxy::without_table(LIMITS);
    for address in [proxy.external, proxy.internal] {
        let answer = chat_at(address, "authorization", &bearer()).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (503, &"1".parse().unwrap())
        );
        assert!(answer.text().await.unwrap().contains("knows no model yet; try again"));
        assert_eq!(chat_at(address, "authorization", "").await.status(), 401);
    }
    proxy.update(table(json!([served(MODEL, &[sim.url()])])));
    assert_eq!(status_with(&proxy, &key(ME)).await, 200);
    assert_eq!(status_with(&proxy, &key("unknownnnnnn")).await, 401);
    assert_eq!(chat_at(proxy.internal, "authorization", &bearer()).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_key_is_in_force_at_the_next_request() {
    let sim = sim().await;
    let mine = record(ME, &["science"]);
    let proxy = Proxy::start(restricted(&sim, std::slice::from_ref(&mine))).await;
    let mut suspended = mine.clone();
    suspended["suspended"] = true.into();
    let mut scoped = mine.clone();
    scoped["models"] = json!(["another"]);
    for (keys, status) in [
        (vec![mine.clone()], 200),
        (vec![], 401),
        (vec![mine.clone()], 200),
        (vec![suspended], 401),
        (vec![scoped], 403),
        (vec![record(ME, &["arts"])], 403),
        (vec![record(ME, &["arts", "science"])], 200),
    ] {
        proxy.update(restricted(&sim, &keys));
        assert_eq!(status_with(&proxy, &key(ME)).await, status, "{keys:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_ends_the_old_secret_and_begins_the_new_one() {
    let sim = sim().await;
    let mine = record(ME, &["science"]);
    let proxy = Proxy::start(restricted(&sim, std::slice::from_ref(&mine))).await;
    assert_eq!(status_with(&proxy, &rotated(ME)).await, 401);
    assert_eq!(status_with(&proxy, &key(ME)).await, 200);
    assert_eq!(status_with(&proxy, &rotated(ME)).await, 401);
    let mut next = mine;
    next["hash"] = hash(&rotated(ME));
    proxy.update(restricted(&sim, &[next]));
    assert_eq!(status_with(&proxy, &key(ME)).await, 401);
    assert_eq!(status_with(&proxy, &rotated(ME)).await, 200, "although it was refused before");
}

#[test]
fn a_verification_under_way_does_not_put_an_old_record_back_in_force() {
    // The pool's one thread is kept busy, so that the verification stays under way.
    let runtime = Builder::new_multi_thread().enable_all().max_blocking_threads(1).build();
    runtime.unwrap().block_on(async {
        let sim = sim().await;
        let mine = record(ME, &["science"]);
        let mut next = mine.clone();
        next["hash"] = hash(&rotated(ME));
        let proxy = Proxy::start(restricted(&sim, &[mine])).await;
        let old = key(ME);
        let (busy, until_dropped) = mpsc::channel::<()>();
        spawn_blocking(move || until_dropped.recv());
        let (_before, ()) = tokio::join!(status_with(&proxy, &old), async {
            eventually(|| 2 < Arc::strong_count(&proxy.gateway.tables.snapshot())).await;
            proxy.update(restricted(&sim, &[next]));
            drop(busy);
        });
        assert_eq!(status_with(&proxy, &old).await, 401);
        assert_eq!(status_with(&proxy, &rotated(ME)).await, 200);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unauthenticated_request_is_rejected_before_its_body_is_read() {
    let proxy = Proxy::start(table(json!([served(MODEL, &[nowhere()])]))).await;
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: h\r\ncontent-length: 10000000\r\n\r\n");
    let answer = raw(proxy.external, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let answer = reqwest::Client::new()
        .post(proxy.url(CHAT))
        .body(vec![b'x'; 10_000_000])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_rejected_with_json() {
    let proxy = Proxy::start(table(json!([served(MODEL, &[nowhere()])]))).await;
    let answer = reqwest::Client::new()
        .post(proxy.url(CHAT))
        .header("accept", "text/event-stream")
        .body(chat(MODEL, true))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["content-type"], "application/json");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["error"]["code"], "invalid_api_key");
}

/// An identity provider that publishes one key, until it is dropped.
struct Issuer {
    url: String,
    key: EcdsaKeyPair,
    _server: JoinSet<()>,
}

impl Issuer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        let jwks = json!({ "keys": [{ "kid": "1", "kty": "EC", "crv": "P-256",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) }] });
        let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/jwks") });
        let mut server = JoinSet::new();
        server.spawn(publish(listener, discovery.to_string(), jwks.to_string()));
        Self { url, key, _server: server }
    }

    fn token(&self, changed: &Value) -> String {
        let mut claims = json!({
            "iss": self.url, "aud": "llm", "sub": "4711", "preferred_username": "ada",
            "groups": ["/science"], "exp": now().as_second() + 300, "iat": now().as_second(),
        });
        for (claim, value) in changed.as_object().unwrap() {
            claims[claim] = value.clone();
        }
        let header = json!({ "alg": "ES256", "kid": "1", "typ": "JWT" });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

async fn publish(listener: TcpListener, discovery: String, jwks: String) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { break };
            request.push(byte);
        }
        let body = if request.starts_with(b"GET /jwks ") { &jwks } else { &discovery };
        let head =
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}", body.len());
        let _ = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await;
    }
}

/// A proxy that trusts an issuer, and what [`restricted`] has.
async fn trusting(issuer: &str, sim: &Sim) -> Proxy {
    let mut table = restricted(sim, &[record(ME, &["science"])]);
    table["issuers"] = json!([{ "issuer": issuer, "audiences": ["llm"] }]);
    Proxy::start(table).await
}

async fn status_inside(proxy: &Proxy, token: &str) -> u16 {
    let credential = format!("Bearer {token}");
    chat_at(proxy.internal, "authorization", &credential).await.status().as_u16()
}

/// Waits until the proxy has the issuer's keys.
async fn known(proxy: &Proxy, token: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while status_inside(proxy, token).await == 503 {
        assert!(tokio::time::Instant::now() < deadline, "the issuer's keys never came");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_internal_entry_a_tokens_groups_decide_and_its_user_is_the_client() {
    let (sim, issuer) = (sim().await, Issuer::start().await);
    let proxy = trusting(&issuer.url, &sim).await;
    known(&proxy, &issuer.token(&json!({}))).await;
    sim.clear_received();
    for (changed, status) in [
        (json!({}), 200),
        (json!({ "groups": ["arts"] }), 403),
        (json!({ "groups": [] }), 403),
        (json!({ "aud": "another" }), 401),
        (json!({ "exp": now().as_second() - 3600 }), 401),
        (json!({ "iss": "http://127.0.0.1:1" }), 401),
    ] {
        assert_eq!(status_inside(&proxy, &issuer.token(&changed)).await, status, "{changed}");
    }
    let forged = issuer.token(&json!({})).rsplit_once('.').unwrap().0.to_owned();
    assert_eq!(status_inside(&proxy, &format!("{forged}.AAAA")).await, 401);
    let named = issuer.token(&json!({ "preferred_username": "Ada L/\u{e9}", "sub": "1" }));
    assert_eq!(status_inside(&proxy, &named).await, 200);
    let received = sim.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].headers["x-client-id"], "ada");
    assert_eq!(received[1].headers["x-client-id"], "Ada%20L%2F%C3%A9");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_entry_accepts_only_its_own_credentials() {
    let (sim, issuer) = (sim().await, Issuer::start().await);
    let proxy = trusting(&issuer.url, &sim).await;
    let token = issuer.token(&json!({}));
    known(&proxy, &token).await;
    sim.clear_received();
    for (address, credential, status) in [
        (proxy.external, bearer(), 200),
        (proxy.internal, format!("Bearer {token}"), 200),
        (proxy.external, format!("Bearer {token}"), 401),
        (proxy.internal, bearer(), 401),
    ] {
        let answer = chat_at(address, "authorization", &credential).await;
        assert_eq!(answer.status(), status, "{address}");
    }
    assert_eq!(sim.received().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_down_is_not_the_callers_fault() {
    let (sim, mut issuer) = (sim().await, Issuer::start().await);
    issuer.url = nowhere();
    let proxy = trusting(&issuer.url, &sim).await;
    let credential = format!("Bearer {}", issuer.token(&json!({})));
    let answer = chat_at(proxy.internal, "authorization", &credential).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["error"]["type"], "server_error");
}
