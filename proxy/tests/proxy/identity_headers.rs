//! What upstreams see of a caller: what we say, in no other words, and nothing a caller made up.

use crate::support::{
    ME, Proxy, THEIRS, bearer, chat, key, provided, provider, raw, served, table,
};
use llm_sim::{Config, Received, Sim};
use reqwest::Client;
use serde_json::json;

const MODEL: &str = "tiny";
const CHAT: &str = "/v1/chat/completions";
const CANARY: &str = "canary";
/// Headers by which an upstream may identify a caller; each is tried as it is and in other
/// spellings.
const SPOOFED: [&str; 46] = [
    "Cookie",
    "Cookie2",
    "X-API-Key",
    "API-Key",
    "Apikey",
    "X-Auth-Token",
    "X-Authorization",
    "X-Goog-Api-Key",
    "Ocp-Apim-Subscription-Key",
    "Proxy-Authorization",
    "Proxy-Authenticate",
    "X-Client-ID",
    "X-LLM-Client-ID",
    "X-Consumer-ID",
    "X-User",
    "X-User-ID",
    "X-Username",
    "X-Groups",
    "Remote-User",
    "X-Remote-User",
    "X-Remote-Group",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Client-Cert",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    "X-Real-IP",
    "Forwarded",
    "Via",
    "True-Client-IP",
    "X-OpenWebUI-User-Email",
    "X-OpenWebUI-User-Id",
    "OpenAI-Organization",
    "OpenAI-Project",
    "X-Gateway-Destination-Endpoint",
    "X-Envoy-Original-Path",
    "X-Envoy-Decorator-Operation",
    "X-LLM-D-Endpoint",
    "Keep-Alive",
    "Proxy-Connection",
];
/// All that an upstream gets, besides its credential.
const TOLD: [&str; 8] = [
    "host",
    "content-type",
    "user-agent",
    "accept-encoding",
    "x-client-id",
    "x-llm-client-id",
    "x-request-id",
    "content-length",
];

/// Every spelling of a name that some server may take for it.
fn spellings(name: &str) -> Vec<String> {
    let lower = name.to_lowercase();
    vec![
        name.to_owned(),
        lower.clone(),
        name.to_uppercase(),
        name.replace('-', "_"),
        lower.replacen('-', "_", 1),
        lower.replace('-', "."),
    ]
}

fn assert_told(received: &Received, extra: &[&str]) {
    for (name, value) in &received.headers {
        assert!(TOLD.contains(&name.as_str()) || extra.contains(&name.as_str()), "{name}");
        assert!(!value.as_bytes().windows(6).any(|it| it == CANARY.as_bytes()), "{name}");
    }
    for name in ["x-client-id", "x-llm-client-id"] {
        let values: Vec<_> = received.headers.get_all(name).iter().collect();
        assert_eq!(values, [&format!("client-{ME}")], "{name}");
    }
    assert!(!received.body.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_an_identity_reaches_an_upstream() {
    let (ours, theirs) = (Sim::start(Config::default()), provider(Config::default()));
    let (ours, theirs) = (ours.await.unwrap(), theirs.await);
    let mut table = provided("theirs", &theirs.url(), Some(MODEL));
    table["routes"].as_array_mut().unwrap().push(served(MODEL, &[ours.url()]));
    let proxy = Proxy::start(table).await;
    for name in SPOOFED {
        let lines: String =
            spellings(name).iter().map(|name| format!("{name}: {CANARY}\r\n")).collect();
        for (model, sim, extra) in
            [(MODEL, &ours, &[][..]), ("theirs", &theirs, &["authorization"])]
        {
            sim.clear_received();
            let body = chat(model, false);
            let request = format!(
                "POST {CHAT} HTTP/1.1\r\nhost: {CANARY}\r\n{lines}authorization: {}\r\n{lines}\
                 connection: x-client-id, x-llm-client-id, x-request-id\r\nte: trailers\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                bearer(),
                body.len(),
            );
            let answer = raw(proxy.external, request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{name}: {answer}");
            let received = sim.received();
            assert_eq!(received.len(), 1);
            assert_told(&received[0], extra);
            assert!(!extra.is_empty() || !received[0].headers.contains_key("authorization"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_an_identity_reaches_an_upstream_from_http_2() {
    let sim = Sim::start(Config::default()).await.unwrap();
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()])]))).await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let mut request = client
        .post(proxy.url(CHAT))
        .header("authorization", bearer())
        .header("content-type", "application/json");
    for name in SPOOFED.iter().filter(|name| !["Keep-Alive", "Proxy-Connection"].contains(name)) {
        for name in spellings(name) {
            request = request.header(name, CANARY);
        }
    }
    let answer = request.body(chat(MODEL, false)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_told(&sim.received()[0], &["accept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_s_key_reaches_no_upstream_in_any_header() {
    let sim = provider(Config::default()).await;
    let proxy = Proxy::start(provided(MODEL, &sim.url(), None)).await;
    for header in ["x-api-key", "api-key", "authorization"] {
        let value = if header == "authorization" { bearer() } else { key(ME).reveal().to_owned() };
        let request = Client::new().post(proxy.url(CHAT)).header(header, value);
        let request = request.header("content-type", "application/json");
        let answer = request.body(chat(MODEL, false)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{header}");
    }
    for received in sim.received() {
        let values: Vec<_> = received.headers.get_all("authorization").iter().collect();
        assert_eq!(values, [&format!("Bearer {THEIRS}")]);
        let leaked = |value: &http::HeaderValue| value.to_str().unwrap().contains("sk-nb-");
        assert!(!received.headers.values().any(leaked));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sdks_say_of_themselves_goes_on() {
    let sim = Sim::start(Config::default()).await.unwrap();
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()])]))).await;
    let passed = [
        ("x-stainless-retry-count", "1"),
        ("idempotency-key", "k-1"),
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "b"),
        ("openai-beta", "assistants=v2"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("x-request-id", "req-mine"),
        ("user-agent", "test/1"),
    ];
    let mut request = Client::new()
        .post(proxy.url(CHAT))
        .header("authorization", bearer())
        .header("content-type", "application/json");
    for (name, value) in passed {
        request = request.header(name, value);
    }
    let answer = request.body(chat(MODEL, false)).send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "req-mine");
    for (name, value) in passed {
        assert_eq!(sim.received()[0].headers[name], value, "{name}");
    }
}
