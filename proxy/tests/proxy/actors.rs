//! Who takes part beside the proxy: clients that read a stream event by event, and an upstream
//! that says what a test tells it to, when the test tells it to.

use crate::support::{PATIENCE, Proxy, bearer, served, table};
use bytes::Bytes;
use llm_sim::{Config, Sim};
use serde_json::{Value, json};
use std::{future::Future, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What every simulated server here serves.
pub(crate) const MODEL: &str = "tiny";
pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const COMPLETIONS: &str = "/v1/completions";
pub(crate) const RESPONSES: &str = "/v1/responses";
pub(crate) const MESSAGES: &str = "/v1/messages";
/// The operations whose replies can be streams of text.
pub(crate) const STREAMS: [&str; 4] = [CHAT, COMPLETIONS, RESPONSES, MESSAGES];
/// Longer than any test.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);

pub(crate) async fn sim(config: Config) -> Sim {
    Sim::start(config).await.unwrap()
}

/// What a client asks of [`MODEL`] on this path; a list of members is added.
pub(crate) fn ask(path: &str, more: &Value) -> Value {
    let messages = json!([{ "role": "user", "content": "Say something." }]);
    let mut body = match path {
        CHAT | MESSAGES => json!({ "messages": messages, "max_tokens": 12 }),
        COMPLETIONS => json!({ "prompt": "Say something.", "max_tokens": 12 }),
        RESPONSES => json!({ "input": "Say something.", "max_output_tokens": 12 }),
        _ => json!({}),
    };
    body["model"] = MODEL.into();
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// The same for a reply that is a stream.
pub(crate) fn ask_stream(path: &str) -> Value {
    ask(path, &json!({ "stream": true }))
}

/// How a client speaks to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

impl Speaks {
    pub(crate) const BOTH: [Self; 2] = [Self::Http1, Self::Http2];

    pub(crate) fn client(self) -> reqwest::Client {
        let builder = reqwest::Client::builder().timeout(PATIENCE);
        match self {
            Self::Http1 => builder.http1_only(),
            Self::Http2 => builder.http2_prior_knowledge(),
        }
        .build()
        .unwrap()
    }

    /// Begins a request with the key of `ME`, and an id that makes equal answers equal.
    pub(crate) fn post(
        self,
        at: SocketAddr,
        path: &str,
        body: &Value,
    ) -> impl Future<Output = reqwest::Result<reqwest::Response>> + use<> {
        self.client()
            .post(format!("http://{at}{path}"))
            .header("authorization", bearer())
            .header("x-request-id", "the-same")
            .json(body)
            .send()
    }

    /// Reads a reply as a stream of events.
    pub(crate) async fn stream(self, at: SocketAddr, path: &str, body: &Value) -> Events {
        let response = self.post(at, path, body).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        Events { response, unread: Vec::new() }
    }
}

impl Proxy {
    /// Waits until the metrics have this text: an exchange is counted a moment after its answer.
    pub(crate) async fn until_metric(&self, text: &str) {
        let mut rounds = tokio::time::interval(Duration::from_millis(1));
        let seen = async {
            while !self.gateway.metrics.text().contains(text) {
                rounds.tick().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, seen).await;
        waited.unwrap_or_else(|_| panic!("{text}\n{}", self.gateway.metrics.text()));
    }
}

/// A stream as a client reads it.
pub(crate) struct Events {
    pub(crate) response: reqwest::Response,
    unread: Vec<u8>,
}

impl Events {
    /// The next event, as soon as it is whole.
    pub(crate) async fn next(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(2).position(|it| it == b"\n\n") {
                let event = self.unread.drain(..end + 2).collect();
                return String::from_utf8(event).unwrap();
            }
            let chunk = self.response.chunk().await.unwrap().expect("another event");
            self.unread.extend_from_slice(&chunk);
        }
    }

    /// All that is still to come, if it ends as it should.
    pub(crate) async fn rest(mut self) -> reqwest::Result<String> {
        while let Some(chunk) = self.response.chunk().await? {
            self.unread.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8(self.unread).unwrap())
    }
}

/// A reply without the times in it, which differ from one server to the next.
pub(crate) fn timeless(reply: &str) -> String {
    let mut text = reply.to_owned();
    for key in ["\"created\":", "\"created_at\":"] {
        let without =
            |part: &str| part.trim_start_matches(|it: char| it.is_ascii_digit()).to_owned();
        text = text.split(key).map(without).collect::<Vec<_>>().join(key);
    }
    text
}

/// A server behind a proxy, and its twin that is asked directly.
pub(crate) async fn twins(config: Config) -> (Sim, Sim, Proxy) {
    let (behind, direct) = (sim(config.clone()).await, sim(config).await);
    let proxy = Proxy::start(table(json!([served(MODEL, &[behind.url()])]))).await;
    (behind, direct, proxy)
}

/// All of a stream, as [`timeless`] text.
pub(crate) async fn whole(speaks: Speaks, at: SocketAddr, path: &str, body: &Value) -> String {
    timeless(&speaks.stream(at, path, body).await.rest().await.unwrap())
}

/// A stream whose first event has come, and the server that goes on with it.
pub(crate) async fn begun(speaks: Speaks) -> (Proxy, Asked, Events) {
    let upstream = Upstream::bind().await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[upstream.url()])]))).await;
    let serve = async {
        let mut asked = upstream.asked().await;
        asked.begin().await;
        asked.say(&piece("before")).await;
        asked
    };
    let body = ask_stream(CHAT);
    let (asked, mut events) = tokio::join!(serve, speaks.stream(proxy.external, CHAT, &body));
    assert_eq!(events.next().await, piece("before"));
    (proxy, asked, events)
}

/// An upstream that speaks on command.
pub(crate) struct Upstream(TcpListener);

/// A connection on which an [`Upstream`] took a request.
pub(crate) struct Asked(TcpStream);

impl Upstream {
    pub(crate) async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// Takes a connection and reads the request on it.
    pub(crate) async fn asked(&self) -> Asked {
        let (stream, _) = self.0.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        Asked(stream).again().await
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| length.parse::<usize>().unwrap() <= body.len())
}

impl Asked {
    /// Reads the next request.
    pub(crate) async fn again(mut self) -> Self {
        let mut request = Vec::new();
        while !is_whole(&request) {
            assert_ne!(self.0.read_buf(&mut request).await.unwrap(), 0, "a request");
        }
        self
    }

    pub(crate) async fn write(&mut self, bytes: impl Into<Bytes>) {
        self.0.write_all(&bytes.into()).await.unwrap();
    }

    /// Begins a stream of events.
    pub(crate) async fn begin(&mut self) {
        self.write(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
             transfer-encoding: chunked\r\n\r\n",
        )
        .await;
    }

    /// Waits until the other side closes the connection, or resets it.
    pub(crate) async fn closed(&mut self) {
        let mut rest = Vec::new();
        let _reset = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.unwrap();
    }

    /// Says the same over and over, until the other side does not want to hear it any more.
    pub(crate) async fn say_until_closed(&mut self, piece: &str) {
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        let say = async { while self.0.write_all(chunk.as_bytes()).await.is_ok() {} };
        tokio::time::timeout(PATIENCE, say).await.unwrap();
    }

    /// Sends a piece of it.
    pub(crate) async fn say(&mut self, piece: &str) {
        self.write(format!("{:x}\r\n{piece}\r\n", piece.len())).await;
    }

    /// Ends it well.
    pub(crate) async fn end(&mut self) {
        self.write("0\r\n\r\n").await;
    }
}

/// A piece of a chat's answer, as one event.
pub(crate) fn piece(text: &str) -> String {
    let delta = json!({ "object": "chat.completion.chunk", "choices": [{ "index": 0, "delta": { "content": text } }] });
    format!("data: {delta}\n\n")
}
