//! Prompts of every size arrive byte for byte, and those that are too large are told so.

use crate::support::{
    LIMITS, PATIENCE, Proxy, bearer, chat, eventually, nowhere, raw, served, table,
};
use bytes::Bytes;
use llm_proxy::{gateway::ServerLimits, stage::read::BodyLimits};
use llm_sim::{Config, Fault, Injection, Sim};
use reqwest::{Body, Client, RequestBuilder};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const MODEL: &str = "tiny";
const CHAT: &str = "/v1/chat/completions";
const MIB: usize = 1024 * 1024;
/// Bodies of so many bytes; the smallest has one byte of content.
const SIZES: [usize; 15] = [
    0,
    1000,
    4096,
    16_383,
    16_384,
    16_385,
    65_535,
    65_536,
    65_537,
    131_072,
    262_145,
    MIB,
    3 * MIB + 1,
    5 * MIB,
    8 * MIB,
];
/// How much of a body without a length is sent at a time.
const CHUNK_BYTES: usize = 10_007;
/// What the server answers.
const ANSWER: u16 = 422;

#[derive(Clone, Copy, Debug)]
enum Model {
    First,
    Last,
}

/// A prompt of so many bytes, or the smallest.
fn prompt(model: Model, bytes: usize) -> Bytes {
    let (head, tail) = match model {
        Model::First => (
            format!(
                r#"{{"model":"{MODEL}","max_tokens":1,"messages":[{{"role":"user","content":""#
            ),
            r#""}]}"#.to_owned(),
        ),
        Model::Last => (
            r#"{"max_tokens":1, "messages":[{"role":"user","content":""#.to_owned(),
            format!(r#""}}], "model" : "{MODEL}" }} "#),
        ),
    };
    let content = "x".repeat(bytes.saturating_sub(head.len() + tail.len()).max(1));
    format!("{head}{content}{tail}").into()
}

/// The same bytes without a length: chunked over HTTP/1.1.
fn chunked(body: &Bytes) -> Body {
    let chunks: Vec<_> = body
        .chunks(CHUNK_BYTES)
        .map(|chunk| Ok::<_, std::io::Error>(body.slice_ref(chunk)))
        .collect();
    Body::wrap_stream(futures::stream::iter(chunks))
}

/// A server that does not read prompts, which takes long, but answers with [`ANSWER`].
async fn sim() -> Sim {
    let sim = Sim::start(Config::default()).await.unwrap();
    sim.inject(Fault::Status(ANSWER));
    sim
}

fn post(client: &Client, proxy: &Proxy) -> RequestBuilder {
    client
        .post(proxy.url(CHAT))
        .header("authorization", bearer())
        .header("content-type", "application/json")
        .timeout(PATIENCE * 3)
}

/// Sends prompts of every size; before each, `prepare` may change what is in force.
async fn arrive(client: &Client, proxy: &Proxy, sim: &Sim, prepare: impl Fn()) {
    for bytes in SIZES {
        for model in [Model::First, Model::Last] {
            for has_length in [true, false] {
                prepare();
                sim.clear_received();
                let prompt = prompt(model, bytes);
                let body = if has_length { prompt.clone().into() } else { chunked(&prompt) };
                let answer = post(client, proxy).body(body).send().await.unwrap();
                let case = format!("{bytes} bytes, model {model:?}, length {has_length}");
                assert_eq!(answer.status(), ANSWER, "{case}");
                let received = sim.received();
                assert_eq!(received.len(), 1, "{case}");
                assert!(received[0].body == prompt, "{case}");
                assert_eq!(received[0].headers["content-length"], prompt.len().to_string());
                assert!(!received[0].headers.contains_key("transfer-encoding"), "{case}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_of_any_size_arrives_byte_for_byte_over_http_1() {
    let sim = sim().await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()])]))).await;
    arrive(&Client::new(), &proxy, &sim, || {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_of_any_size_arrives_byte_for_byte_over_http_2() {
    let sim = sim().await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()])]))).await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    arrive(&client, &proxy, &sim, || {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_of_any_size_is_sent_again_when_the_first_endpoint_refuses() {
    let sim = sim().await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()])]))).await;
    // What runs at one endpoint makes the other the first choice.
    sim.inject(Injection::times(Fault::StallBeforeHeaders, 1));
    let stalled = post(&Client::new(), &proxy).body(chat(MODEL, false)).send();
    let rest = async {
        eventually(|| sim.state().received == 1).await;
        sim.inject(Fault::Status(ANSWER));
        for http2 in [false, true] {
            let builder = Client::builder();
            let builder = if http2 { builder.http2_prior_knowledge() } else { builder };
            let refuse = || proxy.update(table(json!([served(MODEL, &[nowhere(), sim.url()])])));
            arrive(&builder.build().unwrap(), &proxy, &sim, refuse).await;
        }
    };
    tokio::select! {
        _ = stalled => panic!("it stalls"),
        () = rest => {}
    }
    assert_eq!(failed_attempts(&proxy), 2 * 2 * 2 * SIZES.len() as u64);
}

fn failed_attempts(proxy: &Proxy) -> u64 {
    let route = llm_proxy::metrics::RouteLabels { route: MODEL.into() };
    proxy.gateway.metrics.failed_attempts.get_or_create(&route).get()
}

async fn small() -> Proxy {
    let body = BodyLimits { body_bytes: 100_000, ..LIMITS.body };
    Proxy::with_limits(table(json!([served(MODEL, &[nowhere()])])), ServerLimits { body, ..LIMITS })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_over_the_limit_is_refused_and_the_client_learns_it() {
    let proxy = small().await;
    for http2 in [false, true] {
        let builder = Client::builder();
        let builder = if http2 { builder.http2_prior_knowledge() } else { builder };
        let client = builder.build().unwrap();
        for bytes in [100_001, 200_000, 4 * MIB] {
            for has_length in [true, false] {
                let prompt = prompt(Model::Last, bytes);
                let body = if has_length { prompt.into() } else { chunked(&prompt) };
                let answer = post(&client, &proxy).body(body).send().await.unwrap();
                assert_eq!(answer.status(), 413, "{bytes} bytes, length {has_length}");
                let body: serde_json::Value = answer.json().await.unwrap();
                assert_eq!(body["error"]["code"], "request_too_large");
                assert_eq!(body["error"]["message"], "the body is larger than 100000 bytes");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_at_the_limit_is_not_over_it() {
    let (sim, body) = (sim().await, BodyLimits { body_bytes: 100_000, ..LIMITS.body });
    let table = table(json!([served(MODEL, &[sim.url()])]));
    let proxy = Proxy::with_limits(table, ServerLimits { body, ..LIMITS }).await;
    let prompt = prompt(Model::First, 100_000);
    assert_eq!(prompt.len(), 100_000);
    for body in [prompt.clone().into(), chunked(&prompt)] {
        let answer = post(&Client::new(), &proxy).body(body).send().await.unwrap();
        assert_eq!(answer.status(), ANSWER);
    }
}

/// The head of a prompt with this header line.
fn head(line: &str) -> String {
    format!(
        "POST {CHAT} HTTP/1.1\r\nhost: h\r\nauthorization: {}\r\n\
         content-type: application/json\r\n{line}\r\n\r\n",
        bearer()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_stops_to_write_still_reads_the_refusal() {
    let proxy = small().await;
    let chunk = [b"2710\r\n".to_vec(), vec![b'x'; 0x2710], b"\r\n".to_vec()].concat();
    let bodies = [
        (head("content-length: 1000000"), vec![b'x'; 1_000_000]),
        (head("transfer-encoding: chunked"), [chunk.repeat(100), b"0\r\n\r\n".to_vec()].concat()),
    ];
    for (head, body) in bodies {
        let answer = raw(proxy.external, &[head.into_bytes(), body].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("request_too_large"), "{answer}");
    }
}

/// Sends a header that expects `100 Continue`, and returns what comes first.
async fn expect(proxy: &Proxy, head: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(proxy.external).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let count = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    (stream, String::from_utf8_lossy(&answer[..count]).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_to_continue_is_told_to_at_once() {
    let sim = sim().await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()])]))).await;
    let body = chat(MODEL, false);
    for http in ["100-continue", "100-Continue"] {
        sim.clear_received();
        let head = head(&format!("expect: {http}\r\ncontent-length: {}", body.len()));
        let (mut stream, first) = expect(&proxy, &head).await;
        assert_eq!(first, "HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 422 Un");
        assert_eq!(sim.received()[0].body, body);
        assert!(!sim.received()[0].headers.contains_key("expect"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_to_continue_is_refused_without_its_body() {
    let proxy = small().await;
    let stranger = head("").replace("sk-nb-", "sk-no-");
    let stranger = stranger.trim_end().to_owned();
    for (head, status) in [
        (head("expect: 100-continue\r\ncontent-length: 100001"), "HTTP/1.1 413 "),
        (
            format!("{stranger}\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n"),
            "HTTP/1.1 401 ",
        ),
    ] {
        let (_stream, first) = expect(&proxy, &head).await;
        assert!(first.starts_with(status), "{first}");
        assert!(first.contains("\r\nConnection: close\r\n") || first.contains("connection: close"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_to_continue_is_served_over_http_2_too() {
    let sim = sim().await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()])]))).await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let request = post(&client, &proxy).header("expect", "100-continue");
    let answer = request.body(chat(MODEL, false)).send().await.unwrap();
    assert_eq!(answer.status(), ANSWER);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_prompts_together_have_a_limit() {
    let (sim, body) = (sim().await, BodyLimits { bodies_bytes: MIB, ..LIMITS.body });
    let table = table(json!([served(MODEL, &[sim.url()])]));
    let proxy = Proxy::with_limits(table, ServerLimits { body, ..LIMITS }).await;
    let client = Client::new();
    sim.inject(Injection::times(Fault::StallBeforeHeaders, 1));
    let large = || post(&client, &proxy).body(prompt(Model::First, 600_000)).send();
    let refused = async {
        eventually(|| sim.state().received == 1).await;
        let answer = large().await.unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
    };
    tokio::select! {
        _ = large() => panic!("it stalls"),
        () = refused => {}
    }
    eventually(|| proxy.gateway.requests.is_empty()).await;
    sim.inject(Fault::Status(ANSWER));
    assert_eq!(large().await.unwrap().status(), ANSWER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_a_prompt_before_it_has_read_it_is_heard() {
    let config = Config { body_bytes_max: 1000, ..Config::default() };
    let sim = Sim::start(config).await.unwrap();
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()])]))).await;
    for _ in 0..8 {
        let body = prompt(Model::First, 8 * MIB);
        let answer = post(&Client::new(), &proxy).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 413);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_arrives_byte_for_byte() {
    let sim = sim().await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()])]))).await;
    let recording = (0..=255).cycle().take(MIB).collect::<Vec<u8>>();
    let part = |name: &str| format!("--B\r\ncontent-disposition: form-data; name=\"{name}\"");
    let form = [
        format!("{}; filename=\"a\"\r\n\r\n", part("file")).into_bytes(),
        recording,
        format!("\r\n{}\r\n\r\n{MODEL}\r\n--B--\r\n", part("model")).into_bytes(),
    ]
    .concat();
    let form = Bytes::from(form);
    for body in [form.clone().into(), chunked(&form)] {
        sim.clear_received();
        let request = Client::new().post(proxy.url("/v1/audio/transcriptions"));
        let request = request.header("content-type", "multipart/form-data; boundary=B");
        let answer = request.header("authorization", bearer()).body(body).send().await.unwrap();
        assert_eq!(answer.status(), ANSWER);
        assert!(sim.received()[0].body == form);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_sent_without_waiting_for_answers_are_answered_in_order() {
    let sim = sim().await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()])]))).await;
    let mut sent = Vec::new();
    for (number, bytes) in [0, 70_000, 0, 200_000, 0].into_iter().enumerate() {
        let body = prompt(Model::Last, bytes);
        let id = format!("x-request-id: {number}");
        sent.extend(match number {
            2 => head(&format!("{id}\r\ntransfer-encoding: chunked")).into_bytes(),
            4 => head(&format!("{id}\r\nconnection: close\r\ncontent-length: {}", body.len()))
                .into_bytes(),
            _ => head(&format!("{id}\r\ncontent-length: {}", body.len())).into_bytes(),
        });
        if number == 2 {
            let size = format!("{:x}\r\n", body.len());
            sent.extend([size.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat());
        } else {
            sent.extend_from_slice(&body);
        }
    }
    let (mut reader, mut writer) = TcpStream::connect(proxy.external).await.unwrap().into_split();
    let read = async {
        let mut answers = String::new();
        reader.read_to_string(&mut answers).await.unwrap();
        answers
    };
    let (answers, written) = tokio::join!(read, writer.write_all(&sent));
    written.unwrap();
    let ids: Vec<_> =
        answers.lines().filter_map(|line| line.strip_prefix("x-request-id: ")).collect();
    assert_eq!(ids, ["0", "1", "2", "3", "4"], "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 422 ").count(), 5);
    assert_eq!(sim.received().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_head_has_no_body() {
    let proxy = small().await;
    let key = bearer();
    let request = format!("HEAD /v1/models HTTP/1.1\r\nhost: h\r\nauthorization: {key}\r\n\r\n");
    let last = request.replace("HEAD", "GET").replace("host", "connection: close\r\nhost");
    let mut stream = TcpStream::connect(proxy.external).await.unwrap();
    stream.write_all(format!("{request}{last}").as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    let (first, second) = answers.split_once("\r\n\r\n").unwrap();
    assert!(first.starts_with("HTTP/1.1 405 "), "{answers}");
    assert!(second.starts_with("HTTP/1.1 200 "), "{answers}");
}
