//! The mock upstream: answers as fast as a socket can.
//!
//! One thread, keep-alive, no delay on small writes. A stream's events carry the
//! clock at which they were written, so that the load can tell how long a proxy
//! held each of them.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::clock;
use crate::error::BenchError;
use crate::prompt::{MODEL, Prompt};
use crate::wire::{Framing, Head};

/// More connections than this wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 30_000;
const READ_BYTES: usize = 16 * 1024;
const COMPLETION_BYTES: usize = 1024;

/// Where the mock listens.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// First address; all its addresses are on this port
    #[arg(long)]
    pub(crate) listen: SocketAddr,
    /// How many addresses: with 16 and 127.0.0.1 it listens on 127.0.0.1 to 127.0.0.16
    #[arg(long, default_value_t = 1)]
    pub(crate) addresses: u8,
}

/// `count` loopback addresses on the port of `first`, and `first` is one of them.
pub(crate) fn addresses(first: SocketAddr, count: u8) -> Vec<SocketAddr> {
    let IpAddr::V4(ip) = first.ip() else { return vec![first] };
    let ips = (0..u32::from(count)).map(|n| Ipv4Addr::from_bits(ip.to_bits().saturating_add(n)));
    ips.map(|ip| SocketAddr::from((ip, first.port()))).collect()
}

/// Serves until the process ends.
pub(crate) async fn serve(args: Args) -> Result<Infallible, BenchError> {
    let mut listeners = JoinSet::new();
    for address in addresses(args.listen, args.addresses) {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| BenchError::Listen { address, source })?;
        listeners.spawn(accept(listener));
    }
    while listeners.join_next().await.is_some() {}
    std::future::pending().await
}

async fn accept(listener: TcpListener) {
    let completion = Answer::completion();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        if let Ok((stream, _)) = listener.accept().await {
            let completion = completion.clone();
            // A connection that breaks is seen by the load, which counts it.
            connections.spawn(async move { drop(serve_connection(stream, &completion).await) });
        }
    }
}

/// Answers made once.
#[derive(Clone)]
struct Answer {
    completion: Vec<u8>,
    models: Vec<u8>,
}

impl Answer {
    fn completion() -> Self {
        let open = format!(
            r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":0,"model":"{MODEL}","choices":[{{"index":0,"message":{{"role":"assistant","content":""#
        );
        let close = r#""},"finish_reason":"stop"}],"usage":{"prompt_tokens":200,"completion_tokens":100,"total_tokens":300}}"#;
        let padding = COMPLETION_BYTES.saturating_sub(open.len()).saturating_sub(close.len());
        let models = format!(
            r#"{{"object":"list","data":[{{"id":"{MODEL}","object":"model","created":0,"owned_by":"bench","max_model_len":32768}}]}}"#
        );
        Self {
            completion: with_head(&format!("{open}{}{close}", "x".repeat(padding))),
            models: with_head(&models),
        }
    }
}

fn with_head(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

async fn serve_connection(mut stream: TcpStream, answer: &Answer) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut unread = Vec::with_capacity(READ_BYTES);
    while let Some((wish, bytes)) = read_request(&mut stream, &mut unread).await? {
        unread.drain(..bytes);
        match wish {
            None => stream.write_all(&answer.models).await?,
            Some(Prompt::Chat) => stream.write_all(&answer.completion).await?,
            Some(Prompt::Stream { events, pause_us }) => {
                write_stream(&mut stream, events, Duration::from_micros(pause_us)).await?;
            }
            Some(Prompt::Hold) => return hold(&mut stream).await,
        }
    }
    Ok(())
}

/// The next request: what it wants (`None` for a GET) and its length; `None` at the end.
async fn read_request(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
) -> io::Result<Option<(Option<Prompt>, usize)>> {
    loop {
        let head = Head::parse(unread).map_err(io::Error::other)?;
        if let Some(head) = head {
            let body_bytes = match head.framing {
                Framing::Length(bytes) => bytes,
                Framing::Unnamed => 0,
                Framing::Chunked => return Err(io::ErrorKind::Unsupported.into()),
            };
            let end = head.bytes.saturating_add(body_bytes);
            if let Some(body) = unread.get(head.bytes..end) {
                let wish = head.start.starts_with(b"POST").then(|| Prompt::parse(body));
                return Ok(Some((wish, end)));
            }
        }
        unread.reserve(READ_BYTES);
        if stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    }
}

const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";

async fn write_stream(stream: &mut TcpStream, events: u64, pause: Duration) -> io::Result<()> {
    stream.write_all(STREAM_HEAD).await?;
    for event in 0..events {
        if event > 0 && !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        write_event(stream).await?;
    }
    let usage = format!(
        r#"{{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":0,"model":"{MODEL}","choices":[],"usage":{{"prompt_tokens":200,"completion_tokens":{events},"total_tokens":{}}}}}"#,
        events.saturating_add(200)
    );
    let last = format!("{}{}0\r\n\r\n", chunk(&usage), chunk("[DONE]"));
    stream.write_all(last.as_bytes()).await
}

async fn write_event(stream: &mut TcpStream) -> io::Result<()> {
    let stamp_ns = clock::now_ns();
    let event = format!(
        r#"{{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":0,"model":"{MODEL}","choices":[{{"index":0,"delta":{{"content":"{stamp_ns}"}},"finish_reason":null}}]}}"#
    );
    stream.write_all(chunk(&event).as_bytes()).await
}

/// One event as one chunk.
fn chunk(data: &str) -> String {
    let event_bytes = "data: \n\n".len().saturating_add(data.len());
    format!("{event_bytes:x}\r\ndata: {data}\n\n\r\n")
}

/// Writes one event and waits for the other side to close.
async fn hold(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(STREAM_HEAD).await?;
    write_event(stream).await?;
    let mut ignored = [0; 64];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Answer, COMPLETION_BYTES, addresses};
    use crate::wire::{Framing, Head};

    #[test]
    fn a_completion_is_json_of_its_length() {
        let answer = Answer::completion().completion;
        let head = Head::parse(&answer).unwrap().unwrap();
        assert_eq!(head.framing, Framing::Length(COMPLETION_BYTES));
        let json: serde_json::Value = serde_json::from_slice(&answer[head.bytes..]).unwrap();
        assert_eq!(json["usage"]["total_tokens"], 300);
    }

    #[test]
    fn the_addresses_count_up_from_the_first() {
        let all = addresses("127.0.0.1:9".parse().unwrap(), 16);
        assert_eq!(all.len(), 16);
        assert_eq!(all[15], "127.0.0.16:9".parse().unwrap());
    }
}
