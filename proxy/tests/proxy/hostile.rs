//! What a stranger, or a caller who means harm, may send: each gets its answer, and nothing of
//! it reaches a model's server that should not.

mod rows;

use crate::support::{
    LIMITS, ME, PATIENCE, Proxy, THEIRS, bearer, chat, eventually, key, nowhere, served, table,
};
use llm_proxy::{gateway::ServerLimits, stage::read::BodyLimits};
use llm_sim::{Config, Sim};
use rows::{CANARY, Row, post, rows, with_length};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const MODEL: &str = "tiny";
const CHAT: &str = "/v1/chat/completions";

/// Sends bytes, and reads until the connection ends.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let write = async {
        // The proxy may have seen enough before all is written.
        let _ = writer.write_all(bytes).await;
        std::future::pending::<()>().await;
    };
    let read = async {
        let mut answer = Vec::new();
        let _reset = reader.read_to_end(&mut answer).await;
        answer
    };
    tokio::select! {
        answer = tokio::time::timeout(PATIENCE, read) => answer.ok(),
        () = write => None,
    }
}

/// What is wrong with an answer, if anything.
fn complaint(row: &Row, answer: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(answer);
    if [key(ME).reveal(), THEIRS].iter().any(|secret| text.contains(secret)) {
        return Some("a secret in the answer".to_owned());
    }
    let Some(status) = row.status else {
        return text.contains("HTTP/1.").then(|| format!("answered: {text:.200}"));
    };
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Some(format!("no answer: {text:.200}"));
    };
    if !head.starts_with(&format!("HTTP/1.1 {status} "))
        && !head.starts_with(&format!("HTTP/1.0 {status} "))
    {
        return Some(format!("not {status}: {text:.400}"));
    }
    let length = body.len().to_string();
    let header = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.to_owned()))
    };
    if header("x-request-id").is_none() {
        return Some(format!("no request id: {text:.400}"));
    }
    if status < 400 {
        return None;
    }
    if header("content-length") != Some(length) {
        return Some(format!("not one whole answer: {text:.400}"));
    }
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let message = body["error"]["message"].as_str().unwrap_or_default();
    let is_anthropic = String::from_utf8_lossy(&row.bytes).contains(" /v1/messages");
    let is_parsed = !message.contains("is not HTTP") && !message.contains("more than one Host");
    let is_shaped = !is_parsed || is_anthropic == (body["type"] == "error");
    (message.is_empty() || !is_shaped).then(|| format!("a poor error: {text:.400}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_request_gets_its_answer_and_goes_no_further() {
    let sim = Sim::start(Config::default()).await.unwrap();
    let mut route = served(MODEL, &[sim.url()]);
    route["upstream"]["served"]["apiKey"] = THEIRS.into();
    let body_wait = Duration::from_secs(2);
    let body = BodyLimits { body_bytes: 100_000, body_wait, ..LIMITS.body };
    let proxy = Proxy::with_limits(table(json!([route])), ServerLimits { body, ..LIMITS }).await;
    let mut complaints = Vec::new();
    for row in &rows() {
        sim.clear_received();
        match exchange(proxy.external, &row.bytes).await {
            None => complaints.push(format!("{}: the connection stays open", row.what)),
            Some(answer) => complaints.extend(
                complaint(row, &answer).map(|complaint| format!("{}: {complaint}", row.what)),
            ),
        }
        let received = sim.received();
        if received.len() != usize::from(row.reaches) {
            complaints.push(format!("{}: {} requests arrived", row.what, received.len()));
        }
        if format!("{received:?}").contains(CANARY) {
            complaints.push(format!("{}: the canary arrived", row.what));
        }
        let good = exchange(proxy.external, &with_length(CHAT, chat(MODEL, false))).await;
        if !good.is_some_and(|answer| answer.starts_with(b"HTTP/1.1 200 ")) {
            complaints.push(format!("{}: and then no other client is served", row.what));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    eventually(|| proxy.gateway.requests.is_empty()).await;
    assert!(!proxy.gateway.metrics.text().contains("panicked"));
}

/// Sends a byte now and then until the connection ends, and returns what came back.
async fn drip(address: SocketAddr, start: &[u8], every: Duration) -> String {
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    writer.write_all(start).await.unwrap();
    let drip = async {
        let mut ticks = tokio::time::interval(every);
        loop {
            ticks.tick().await;
            if writer.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut answer = Vec::new();
    tokio::select! {
        _reset = reader.read_to_end(&mut answer) => {}
        () = drip => {}
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_header_that_drips_in_does_not_hold_a_connection_for_long() {
    let proxy = Proxy::start(table(json!([]))).await;
    for start in ["", "POST", "POST /v1/chat/completions HTTP/1.1\r\nx: "] {
        let begun = tokio::time::Instant::now();
        let answer = drip(proxy.external, start.as_bytes(), Duration::from_secs(10)).await;
        assert_eq!(answer, "", "{start}");
        // One wait for the first bytes, another for the rest; and time flies while the end of the
        // connection is on its way. Without them it would be two days.
        assert!(begun.elapsed() < Duration::from_secs(12 * 3600), "{start}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_in_is_too_slow_and_gives_its_place_back() {
    let body_wait = Duration::from_millis(200);
    let limits = ServerLimits { body: BodyLimits { body_wait, ..LIMITS.body }, ..LIMITS };
    let proxy = Proxy::with_limits(table(json!([served(MODEL, &[nowhere()])])), limits).await;
    for (headers, start) in
        [("content-length: 90000\r\n", "{"), ("transfer-encoding: chunked\r\n", "fff\r\n{")]
    {
        let request = post(CHAT, headers, start.as_bytes());
        let answer = drip(proxy.external, &request, Duration::from_millis(20)).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("request_timeout"), "{answer}");
    }
    eventually(|| proxy.gateway.requests.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_over_the_limit_is_refused_over_http_2_too() {
    let sim = Sim::start(Config::default()).await.unwrap();
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()])]))).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let ask = |headers: usize, bytes: usize| {
        let mut request = client
            .post(proxy.url(CHAT))
            .header("authorization", bearer())
            .header("content-type", "application/json");
        for _ in 0..headers {
            request = request.header("x", "a".repeat(bytes));
        }
        request.body(chat(MODEL, false)).send()
    };
    assert_eq!(ask(1, 100).await.unwrap().status(), 200);
    assert_eq!(ask(1, 20_000).await.unwrap().status(), 431);
    assert_eq!(ask(1000, 10).await.unwrap().status(), 431);
    assert_eq!(ask(1, 100).await.unwrap().status(), 200);
    assert_eq!(sim.received().len(), 2);
}
