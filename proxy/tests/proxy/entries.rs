//! The public faces: what every answer bears, connections, TLS, and no delay of our own.

use crate::{
    actors::{CHAT, Events, MESSAGES, MODEL, RESPONSES, Speaks, ask, sim},
    support::{PATIENCE, Proxy, bearer, raw, served, table},
};
use llm_proxy::{
    clock,
    server::{Listener, Server},
    stage::accept::Entry,
    tls::Certificate,
};
use llm_sim::{Config, Sim};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use std::{collections::HashSet, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const PAGE: &str = "https://chat.example.org";

async fn start() -> (Sim, Proxy) {
    let sim = sim(Config::default()).await;
    let mut table = table(json!([served(MODEL, &[sim.url()])]));
    table["settings"] = json!({ "corsOrigins": [PAGE] });
    (sim, Proxy::start(table).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_asks_before_it_calls_and_needs_no_key_for_that() {
    let (sim, proxy) = start().await;
    for path in [CHAT, MESSAGES, "/v1/models", "/v1/responses/resp_1"] {
        let preflight = |origin| {
            let client = Speaks::Http1.client();
            let request = client.request(reqwest::Method::OPTIONS, proxy.url(path));
            request
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization")
                .send()
        };
        let answer = preflight(PAGE).await.unwrap();
        assert_eq!(answer.status(), 204, "{path}");
        assert_eq!(answer.headers()["access-control-allow-origin"], PAGE, "{path}");
        let allowed = answer.headers()["access-control-allow-headers"].to_str().unwrap();
        for header in ["authorization", "content-type", "x-api-key", "anthropic-version"] {
            assert!(allowed.contains(header), "{header}");
        }
        let answer = preflight("https://evil.example.org").await.unwrap();
        assert!(!answer.headers().contains_key("access-control-allow-origin"), "{path}");
    }
    assert!(sim.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_read_answers_and_refusals_alike() {
    let (_sim, proxy) = start().await;
    for (path, key, stream, status) in [
        (CHAT, bearer(), false, 200),
        (CHAT, bearer(), true, 200),
        (CHAT, "Bearer wrong".to_owned(), false, 401),
        ("/v1/nothing", bearer(), false, 404),
    ] {
        let answer = Speaks::Http1
            .client()
            .post(proxy.url(path))
            .header("origin", PAGE)
            .header("authorization", key)
            .json(&ask(CHAT, &json!({ "stream": stream })))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["access-control-allow-origin"], PAGE, "{path}");
        let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap();
        assert!(exposed.contains("x-request-id") && exposed.contains("x-ratelimit-"), "{exposed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_bears_the_client_s_request_id_or_ours() {
    let (sim, proxy) = start().await;
    for (path, status) in
        [(CHAT, 200), (MESSAGES, 200), ("/v1/nothing", 404), ("/v1/messages/x", 404)]
    {
        for (given, kept) in [(Some("mine-1.2_3"), true), (Some("<script>"), false), (None, false)]
        {
            let mut request =
                Speaks::Http1.client().post(proxy.url(path)).header("authorization", bearer());
            if let Some(id) = given {
                request = request.header("x-request-id", id);
            }
            let body = ask(if path == MESSAGES { MESSAGES } else { CHAT }, &json!({}));
            let answer = request.json(&body).send().await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
            let ids: Vec<_> = answer.headers().get_all("x-request-id").iter().collect();
            assert_eq!(ids.len(), 1, "{path} {given:?}");
            let id = ids[0].to_str().unwrap();
            assert_eq!(Some(id) == given, kept, "{path} {given:?}");
            assert!(kept || (id.starts_with("req-") && id.len() == 36), "{id}");
            if status == 200 {
                assert_eq!(sim.received().last().unwrap().headers["x-request-id"], id);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_request_are_refused_with_an_id_too() {
    let (_sim, proxy) = start().await;
    let answer = raw(proxy.external, b"this is not HTTP, not even nearly\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("header is not HTTP"), "{answer}");
    assert!(!answer.to_lowercase().contains("\r\nserver: "), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nx-request-id: req-"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_method_is_told_the_right_one() {
    let (sim, proxy) = start().await;
    for (method, path, allowed) in [
        ("GET", CHAT, "POST"),
        ("PUT", MESSAGES, "POST"),
        ("OPTIONS", CHAT, "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/responses/resp_1", "GET"),
        ("GET", "/v1/responses/resp_1/cancel", "POST"),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = Speaks::Http1.client().request(method.clone(), proxy.url(path));
        let answer = request.header("authorization", bearer()).send().await.unwrap();
        assert_eq!(answer.status(), 405, "{method} {path}");
        assert_eq!(answer.headers()["allow"], allowed, "{method} {path}");
    }
    assert!(sim.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_is_answered_in_the_dialect_of_its_family() {
    let (_sim, proxy) = start().await;
    for speaks in Speaks::BOTH {
        let answer = speaks.post(proxy.external, "/v1/nothing", &json!({})).await.unwrap();
        assert_eq!(answer.status(), 404);
        let error: Value = answer.json().await.unwrap();
        assert_eq!(error["error"]["code"], "unknown_url");
        let answer = speaks.post(proxy.external, "/v1/messages/nothing", &json!({})).await.unwrap();
        assert_eq!(answer.status(), 404);
        assert_eq!(answer.headers()["request-id"], "the-same");
        let error: Value = answer.json().await.unwrap();
        assert_eq!((&error["type"], &error["request_id"]), (&"error".into(), &"the-same".into()));
        assert_eq!(error["error"]["type"], "not_found_error");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http_1_0_is_answered_and_the_connection_closes() {
    let (_sim, proxy) = start().await;
    let body = ask(CHAT, &json!({})).to_string();
    let request = format!(
        "POST {CHAT} HTTP/1.0\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        bearer(),
        body.len(),
    );
    let mut client = TcpStream::connect(proxy.external).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(PATIENCE, client.read_to_string(&mut answer));
    read.await.expect("the connection closes").unwrap();
    assert!(answer.starts_with("HTTP/1.") && answer.contains(" 200 "), "{answer}");
    assert!(!answer.to_lowercase().contains("transfer-encoding"), "{answer}");
    assert!(answer.ends_with('}'), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_servers_are_used_again() {
    const REQUESTS: usize = 10;
    for body in [
        ask(CHAT, &json!({})),
        ask(CHAT, &json!({ "stream": true })),
        // An error has an end too.
        ask(CHAT, &json!({ "max_tokens": 1_000_000 })),
    ] {
        let (sim, proxy) = start().await;
        for speaks in Speaks::BOTH.into_iter().cycle().take(REQUESTS) {
            speaks.post(proxy.external, CHAT, &body).await.unwrap().bytes().await.unwrap();
            // The connection is given back a moment after the answer has ended.
            proxy.until_metric("llm_proxy_requests_running 0").await;
        }
        let connections: HashSet<_> = sim.received().iter().map(|it| it.connection).collect();
        // Pingora may miss an idle connection in the moment in which it becomes idle.
        assert!(connections.len() <= REQUESTS / 2, "{body}: {connections:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_s_connection_is_used_again_after_answers_and_refusals() {
    let (_sim, proxy) = start().await;
    let mut client = TcpStream::connect(proxy.external).await.unwrap();
    for (path, authorization, status) in [
        ("/v1/models", bearer(), "200"),
        ("/v1/nothing", bearer(), "404"),
        ("/v1/models", "Bearer wrong".to_owned(), "401"),
        ("/v1/models/tiny", bearer(), "200"),
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "{path}");
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
}

/// A certificate for `localhost`, and its key.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// The same gateway with a TLS listener too, which runs as long as what is returned.
async fn with_tls(certificate: Certificate, table: Value) -> (SocketAddr, Proxy, Server) {
    let proxy = Proxy::start(table).await;
    let any = ([127, 0, 0, 1], 0).into();
    let listening = Listener::bind(any, Entry::External, Some(certificate)).unwrap();
    let at = listening.address;
    let server = Server::start(Arc::clone(&proxy.gateway), vec![listening]);
    (at, proxy, server)
}

/// A client that trusts this certificate alone, and speaks what `speaks` says if it is asked to.
fn trusting(pem: &str, at: SocketAddr, speaks: Option<Speaks>) -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes()).unwrap()])
        .resolve("localhost", at)
        .timeout(PATIENCE);
    let builder = if speaks == Some(Speaks::Http1) { builder.http1_only() } else { builder };
    builder.build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_both_versions_of_http_are_spoken_as_alpn_decides() {
    let sim = sim(Config::default()).await;
    let (chain, key) = certificate();
    let certificate = Certificate::parse(chain.as_bytes(), key.as_bytes()).unwrap();
    let (at, _proxy, _server) =
        with_tls(certificate, table(json!([served(MODEL, &[sim.url()])]))).await;
    for (speaks, version) in
        [(Some(Speaks::Http1), reqwest::Version::HTTP_11), (None, reqwest::Version::HTTP_2)]
    {
        for stream in [false, true] {
            let answer = trusting(&chain, at, speaks)
                .post(format!("https://localhost:{}{CHAT}", at.port()))
                .header("authorization", bearer())
                .json(&ask(CHAT, &json!({ "stream": stream })))
                .send()
                .await
                .unwrap();
            assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
            let text = answer.text().await.unwrap();
            assert!(text.ends_with(if stream { "data: [DONE]\n\n" } else { "}" }), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_seen_by_the_next_connection() {
    let ((old, old_key), (new, new_key)) = (certificate(), certificate());
    let certificate = Certificate::parse(old.as_bytes(), old_key.as_bytes()).unwrap();
    let (at, _proxy, _server) = with_tls(certificate.clone(), table(json!([]))).await;
    let get = async |client: &reqwest::Client| {
        let request = client.get(format!("https://localhost:{}/v1/models", at.port()));
        Some(request.header("authorization", bearer()).send().await.ok()?.status().as_u16())
    };
    let open = trusting(&old, at, None);
    assert_eq!(get(&open).await, Some(200));
    assert_eq!(get(&trusting(&new, at, None)).await, None);
    assert!(certificate.replace(new.as_bytes(), old_key.as_bytes()).is_err());
    assert_eq!(get(&trusting(&old, at, None)).await, Some(200), "a bad one changes nothing");
    certificate.replace(new.as_bytes(), new_key.as_bytes()).unwrap();
    assert_eq!(get(&trusting(&new, at, None)).await, Some(200));
    assert_eq!(get(&trusting(&old, at, None)).await, None);
    assert_eq!(get(&open).await, Some(200), "a connection that is open stays so");
}

/// A connection that agreed on HTTP/2, and has said nothing in it.
async fn agreed_on_http_2(pem: &str, at: SocketAddr) -> TcpStream {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = "localhost".try_into().unwrap();
    let mut tls = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut client = TcpStream::connect(at).await.unwrap();
    client.set_nodelay(true).unwrap();
    while tls.is_handshaking() || tls.wants_write() {
        let mut bytes = Vec::new();
        if tls.wants_write() {
            tls.write_tls(&mut bytes).unwrap();
            client.write_all(&bytes).await.unwrap();
        } else {
            assert_ne!(client.read_buf(&mut bytes).await.unwrap(), 0, "a handshake");
            tls.read_tls(&mut bytes.as_slice()).unwrap();
            tls.process_new_packets().unwrap();
        }
    }
    assert_eq!(tls.alpn_protocol(), Some(&b"h2"[..]));
    // Its settings say that the other side has agreed too.
    assert_ne!(client.read_buf(&mut Vec::new()).await.unwrap(), 0, "settings");
    client
}

#[tokio::test]
async fn a_client_that_agrees_on_http_2_and_says_nothing_does_not_hold_a_connection_for_long() {
    let (chain, key) = certificate();
    let certificate = Certificate::parse(chain.as_bytes(), key.as_bytes()).unwrap();
    let (at, _proxy, _server) = with_tls(certificate, table(json!([]))).await;
    let mut client = agreed_on_http_2(&chain, at).await;
    // From now on time flies, also while the end of the connection is on its way.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let mut rest = Vec::new();
    let closed =
        tokio::time::timeout(Duration::from_secs(12 * 3600), client.read_to_end(&mut rest));
    let _reset = closed.await.expect("the connection closes");
    assert!(Duration::from_secs(60) < begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_speaks_no_tls_does_not_stop_those_who_do() {
    let (chain, key) = certificate();
    let certificate = Certificate::parse(chain.as_bytes(), key.as_bytes()).unwrap();
    let (at, _proxy, _server) = with_tls(certificate, table(json!([]))).await;
    let _silent = TcpStream::connect(at).await.unwrap();
    raw(at, b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let url = format!("https://localhost:{}/v1/models", at.port());
    assert_eq!(trusting(&chain, at, None).get(url).send().await.unwrap().status(), 401);
}

/// The delayed acknowledgement of TCP, which a small write that waits for it costs.
const ACKNOWLEDGEMENT: Duration = Duration::from_millis(40);

/// How often times are measured: the machine may be busy with something else, not every time.
const TRIES: usize = 5;

/// The median of times, and what nine of ten are within.
fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    let at = |percent| times[(times.len() - 1) * percent / 100];
    (at(50), at(90))
}

/// Checks that no write waits for an acknowledgement: otherwise nearly all would, each time.
fn assert_some_within(limits: (Duration, Duration), measured: &[(Duration, Duration)], what: &str) {
    let within = |it: &(Duration, Duration)| it.0 < limits.0 && it.1 < limits.1;
    assert!(measured.iter().any(within), "{what}: median and nine of ten {measured:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_requests_do_not_wait_for_acknowledgements() {
    const REQUESTS: usize = 40;
    let (_sim, proxy) = start().await;
    for speaks in Speaks::BOTH {
        let client = speaks.client();
        let mut measured = Vec::new();
        for _ in 0..TRIES {
            let mut times = Vec::with_capacity(REQUESTS);
            for _ in 0..REQUESTS {
                let begun = clock::now();
                let request = client.post(proxy.url(CHAT)).header("authorization", bearer());
                let answer = request.json(&ask(CHAT, &json!({}))).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                answer.bytes().await.unwrap();
                times.push(clock::now().duration_since(begun));
            }
            measured.push(percentiles(times));
        }
        let limits = (ACKNOWLEDGEMENT / 4, ACKNOWLEDGEMENT * 3 / 4);
        assert_some_within(limits, &measured, &format!("{speaks:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_fast_stream_do_not_come_in_bursts() {
    const INTERVAL: Duration = Duration::from_millis(5);
    let sim = sim(Config { itl: INTERVAL, ..Config::default() }).await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()])]))).await;
    let more = json!({ "stream": true, "max_tokens": 100, "ignore_eos": true });
    for speaks in Speaks::BOTH {
        let mut measured = Vec::new();
        for _ in 0..TRIES {
            let mut events: Events = speaks.stream(proxy.external, CHAT, &ask(CHAT, &more)).await;
            let (mut gaps, mut last) = (Vec::new(), clock::now());
            while !events.next().await.contains("[DONE]") {
                let now = clock::now();
                gaps.push(now.duration_since(last));
                last = now;
            }
            // A server that lags merges tokens, so there may be fewer events, never a long wait.
            if 20 < gaps.len() {
                measured.push(percentiles(gaps));
            }
        }
        let limits = (INTERVAL * 2, ACKNOWLEDGEMENT * 7 / 8);
        assert_some_within(limits, &measured, &format!("{speaks:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_response_is_asked_for_with_get_over_http_2_too() {
    let (_sim, proxy) = start().await;
    let body = ask(RESPONSES, &json!({}));
    Speaks::Http2.post(proxy.external, RESPONSES, &body).await.unwrap().bytes().await.unwrap();
    let url = proxy.url(&format!("{RESPONSES}/resp_the-same"));
    let request = Speaks::Http2.client().get(url).header("authorization", bearer());
    assert_eq!(request.send().await.unwrap().status(), 200);
}
