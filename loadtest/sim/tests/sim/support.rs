//! A client that shows bytes as they are: no pool, no retries, no redirects.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use llm_sim::Sim;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing here takes this long unless it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// The `data` of each event, in order.
    pub(crate) fn events(&self) -> Vec<String> {
        let data = self.text.split("\n\n").filter_map(|event| event.split("data: ").nth(1));
        data.map(str::to_owned).collect()
    }

    /// The names of each event, in order.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.text.lines().filter_map(|line| line.strip_prefix("event: ")).collect()
    }
}

pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header("host", "sim");
    if method == "POST" && !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()
}

/// One request on its own connection, its reply as it arrives.
pub(crate) async fn open(
    addr: SocketAddr,
    request: Request<Full<Bytes>>,
) -> hyper::Result<Response<Incoming>> {
    let io = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    if request.version() == Version::HTTP_2 {
        let (mut send, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
        drive(async { drop(connection.await) });
        let (mut parts, body) = request.into_parts();
        parts.uri = format!("http://sim{}", parts.uri).parse().unwrap();
        parts.headers.remove("host");
        return send.send_request(Request::from_parts(parts, body)).await;
    }
    let (mut send, connection) = hyper::client::conn::http1::handshake(io).await?;
    drive(async { drop(connection.await) });
    send.send_request(request).await
}

pub(crate) async fn send(sim: &Sim, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
    let reply = timeout(DEADLINE, open(sim.addr(), request)).await.expect("an answer in time")?;
    let (head, body) = reply.into_parts();
    let body = timeout(DEADLINE, body.collect()).await.expect("a body in time")?.to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    Ok(Answer { status: head.status, headers: head.headers, text })
}

pub(crate) async fn post(sim: &Sim, path: &str, body: &Value) -> Answer {
    send(sim, request("POST", path, &[], &body.to_string())).await.unwrap()
}

pub(crate) async fn get(sim: &Sim, path: &str) -> Answer {
    send(sim, request("GET", path, &[], "")).await.unwrap()
}

/// Writes bytes and reads until the connection ends, however it does.
pub(crate) async fn exchange_raw(
    addr: SocketAddr,
    bytes: &[u8],
) -> (Vec<u8>, std::io::Result<usize>) {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut seen = Vec::new();
    let ended = timeout(DEADLINE, async {
        loop {
            let mut buffer = [0; 4096];
            match socket.read(&mut buffer).await {
                Ok(0) => return Ok(seen.len()),
                Ok(read) => seen.extend_from_slice(&buffer[..read]),
                Err(error) => return Err(error),
            }
        }
    });
    let ended = ended.await.expect("an end in time");
    (seen, ended)
}

/// A request as the bytes of HTTP/1.1.
pub(crate) fn raw_request(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: sim\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Runs a client's side of things in the background.
pub(crate) fn drive<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "a test's client has no shutdown to wait for")]
    tokio::spawn(future)
}
