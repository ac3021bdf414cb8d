//! One keep-alive connection to a target.

use std::net::SocketAddr;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clock;
use crate::error::ExchangeError;
use crate::prompt::STAMP_LABEL;
use crate::wire::{Chunks, Framing, Head, WireError, number_after};

const READ_BYTES: usize = 16 * 1024;
const STATUS_OK: u16 = 200;

/// An event of a stream, as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// When the read that completed it returned.
    pub(crate) received_ns: u64,
    /// Time since the mock upstream wrote it; `None` when it carries no stamp.
    pub(crate) delay_ns: Option<u64>,
}

/// A connection, with what was read too far.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    unread: Vec<u8>,
    body: Body,
    closes: bool,
}

/// What is left of the answer under way.
enum Body {
    Length(usize),
    Chunked { chunks: Chunks, payload: Vec<u8> },
}

impl Connection {
    /// Connects, without delay on small writes.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, ExchangeError> {
        let io = |source| ExchangeError::Io { address, source };
        let stream = TcpStream::connect(address).await.map_err(io)?;
        stream.set_nodelay(true).map_err(io)?;
        let unread = Vec::with_capacity(READ_BYTES);
        Ok(Self { address, stream, unread, body: Body::Length(0), closes: false })
    }

    /// Whether the target said that it closes after the last answer.
    pub(crate) fn closes(&self) -> bool {
        self.closes
    }

    /// Sends a request and reads the whole answer; the events of a stream go to `events`.
    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<(), ExchangeError> {
        self.begin(request).await?;
        while !self.take_body(events)? {
            self.read().await?;
        }
        Ok(())
    }

    /// Sends a request and waits for the first event of its stream, which stays open.
    pub(crate) async fn first_event(&mut self, request: &[u8]) -> Result<(), ExchangeError> {
        self.begin(request).await?;
        let mut events = Vec::new();
        while !self.take_body(&mut events)? && events.is_empty() {
            self.read().await?;
        }
        Ok(())
    }

    /// Sends a request and reads the head of its answer.
    async fn begin(&mut self, request: &[u8]) -> Result<(), ExchangeError> {
        let address = self.address;
        let wire = |source| ExchangeError::Wire { address, source };
        let written = self.stream.write_all(request).await;
        written.map_err(|source| ExchangeError::Io { address, source })?;
        loop {
            if let Some(head) = Head::parse(&self.unread).map_err(wire)? {
                let status = head.status();
                let bytes = head.bytes;
                self.closes = head.closes;
                self.body = match head.framing {
                    Framing::Length(bytes) => Body::Length(bytes),
                    Framing::Chunked => {
                        Body::Chunked { chunks: Chunks::default(), payload: Vec::new() }
                    }
                    Framing::Unnamed => return Err(wire(WireError::Unframed)),
                };
                self.unread.drain(..bytes);
                if status != STATUS_OK {
                    return Err(ExchangeError::Status { address, status });
                }
                return Ok(());
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), ExchangeError> {
        let address = self.address;
        self.unread.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.unread).await {
            Ok(0) => Err(ExchangeError::Closed { address }),
            Ok(_) => Ok(()),
            Err(source) => Err(ExchangeError::Io { address, source }),
        }
    }

    /// Takes what was read out of the body; `true` when the answer is complete.
    fn take_body(&mut self, events: &mut Vec<Event>) -> Result<bool, ExchangeError> {
        let address = self.address;
        match &mut self.body {
            Body::Length(left) => {
                let taken = self.unread.len().min(*left);
                self.unread.drain(..taken);
                *left = left.saturating_sub(taken);
                Ok(*left == 0)
            }
            Body::Chunked { chunks, payload } => {
                let used = chunks
                    .decode(&self.unread, payload)
                    .map_err(|source| ExchangeError::Wire { address, source })?;
                self.unread.drain(..used);
                take_events(payload, clock::now_ns(), events);
                Ok(chunks.is_done())
            }
        }
    }
}

/// Moves the complete events of `payload` to `events`.
fn take_events(payload: &mut Vec<u8>, received_ns: u64, events: &mut Vec<Event>) {
    let mut taken = 0;
    for end in memmem::find_iter(payload.as_slice(), b"\n\n") {
        let event = payload.get(taken..end).unwrap_or_default();
        let delay_ns = number_after(event, STAMP_LABEL).map(|at| received_ns.saturating_sub(at));
        events.push(Event { received_ns, delay_ns });
        taken = end.saturating_add(2);
    }
    payload.drain(..taken);
}

#[cfg(test)]
mod tests {
    use super::{Event, take_events};

    #[test]
    fn an_event_counts_when_its_empty_line_is_there() {
        let (mut payload, mut events) = (Vec::new(), Vec::new());
        payload.extend_from_slice(br#"data: {"delta":{"content":"400"}}"#);
        take_events(&mut payload, 500, &mut events);
        assert_eq!(events, []);
        payload.extend_from_slice(b"\n\ndata: [DONE]\n\nda");
        take_events(&mut payload, 500, &mut events);
        let stamped = Event { received_ns: 500, delay_ns: Some(100) };
        assert_eq!(events, [stamped, Event { received_ns: 500, delay_ns: None }]);
        assert_eq!(payload, b"da");
    }
}
