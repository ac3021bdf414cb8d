//! A connection to an endpoint, for one request and its reply.
//!
//! Pingora keeps the connections and reads the replies. The request is written here: header and
//! body are in memory, so that one system call sends both, and sending them again to another
//! endpoint costs nothing.

use crate::upstream::{Endpoint, Reach, address_policy::NoAddress};
use bytes::{Buf, Bytes};
use http::StatusCode;
use pingora_core::{
    ErrorType,
    connectors::{ConnectorOptions, TransportConnector},
    protocols::{Stream, http::v1::client::HttpSession},
    upstreams::peer::{HttpPeer, Peer},
};
use pingora_http::ResponseHeader;
use std::{io, sync::Arc, time::Instant};
use tokio::io::AsyncWriteExt;

/// Idle connections kept, to all endpoints together.
const IDLE_CONNECTIONS_MAX: usize = 1024;
/// Up to this size a body is copied behind its header; beyond, copying costs more than a second
/// system call.
const COPIED_BODY_BYTES_MAX: usize = 16 * 1024;
/// Interim replies (1xx) that are skipped before the reply.
const INTERIM_REPLIES_MAX: usize = 8;

/// Makes connections, and keeps idle ones for the next request.
pub struct Connector {
    transport: TransportConnector,
    reach: Reach,
}

/// A connection to an endpoint, with a request on its way.
///
/// It is handed from stage to stage and held across every wait, so it is small.
pub struct Connection {
    http: Box<HttpSession>,
    peer: Arc<HttpPeer>,
    reused: bool,
}

/// Why an upstream gave no reply, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No address to connect to.
    #[error(transparent)]
    Address(#[from] NoAddress),
    /// No connection: nothing was sent.
    #[error("connecting to the endpoint")]
    Connect(#[source] Box<pingora_core::Error>),
    /// No connection in time: nothing was sent.
    #[error("connecting to the endpoint took too long")]
    ConnectTimedOut,
    /// The connection broke.
    #[error("the endpoint's connection broke")]
    Broken(#[source] Box<pingora_core::Error>),
    /// Nothing came for too long.
    #[error("the endpoint fell silent")]
    Silent,
    /// What came is not a reply to this request.
    #[error("the endpoint's reply makes no sense")]
    Nonsense,
}

impl Failure {
    /// Whether the request cannot have reached the endpoint.
    pub fn is_before_sending(&self) -> bool {
        matches!(self, Self::Address(_) | Self::Connect(_) | Self::ConnectTimedOut)
    }

    /// Whether it was a matter of time.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::ConnectTimedOut | Self::Silent)
    }
}

impl From<Box<pingora_core::Error>> for Failure {
    fn from(error: Box<pingora_core::Error>) -> Self {
        if matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout) {
            Self::Silent
        } else if *error.etype() == ErrorType::InvalidHTTPHeader {
            // Its text holds the bytes that came, which may repeat what we sent: a credential.
            Self::Nonsense
        } else {
            Self::Broken(error)
        }
    }
}

impl Connector {
    /// Connects to endpoints at these addresses only.
    pub fn new(reach: Reach) -> Self {
        let options = ConnectorOptions::new(IDLE_CONNECTIONS_MAX);
        Self { transport: TransportConnector::new(Some(options)), reach }
    }

    /// Connects, or takes an idle connection, and sends a request.
    ///
    /// # Errors
    /// [`Failure`]; if the endpoint breaks off while the request is sent, what it has answered
    /// can still be read, so that is not an error here.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        request: (&[u8], &Bytes),
        fresh: bool,
        now: Instant,
    ) -> Result<Connection, Failure> {
        let peer = endpoint.peer(self.reach, now).await?;
        let idle = if fresh { None } else { self.transport.reused_stream(&*peer).await };
        let reused = idle.is_some();
        let mut stream = match idle {
            Some(stream) => stream,
            // Boxed: connecting is rare, and its state would make every request's larger.
            None => Box::pin(self.transport.new_stream(&*peer)).await.map_err(not_connected)?,
        };
        let written = tokio::time::timeout(endpoint.timeouts.idle, write(&mut stream, request));
        match written.await {
            // An endpoint that refuses early closes while we still write; its answer is there.
            Ok(Ok(()) | Err(_)) => {}
            Err(_elapsed) => return Err(Failure::Silent),
        }
        let mut http = Box::new(HttpSession::new_with_options(stream, &*peer));
        http.read_timeout = Some(endpoint.timeouts.idle);
        Ok(Connection { http, peer, reused })
    }

    /// Keeps a connection for the next request, if both sides are done and willing.
    pub async fn release(&self, connection: Connection) {
        let Connection { mut http, peer, .. } = connection;
        http.respect_keepalive();
        if let Some(stream) = http.reuse().await {
            self.transport.release_stream(stream, peer.reuse_hash(), peer.idle_timeout());
        }
    }
}

fn not_connected(error: Box<pingora_core::Error>) -> Failure {
    if matches!(error.etype(), ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout) {
        Failure::ConnectTimedOut
    } else {
        Failure::Connect(error)
    }
}

async fn write(stream: &mut Stream, (head, body): (&[u8], &Bytes)) -> io::Result<()> {
    if body.len() <= COPIED_BODY_BYTES_MAX {
        stream.write_all(&[head, body].concat()).await?;
    } else {
        stream.write_all_buf(&mut head.chain(body.clone())).await?;
    }
    stream.flush().await
}

impl Connection {
    /// Whether it had served a request before, and nothing has come of this one: then it may
    /// have been closed in the meantime, and a failure says nothing about the endpoint.
    pub fn may_be_stale(&self) -> bool {
        self.reused && self.http.resp_header().is_none()
    }

    /// Awaits the header of the reply; interim replies are skipped.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn header(&mut self) -> Result<&ResponseHeader, Failure> {
        for _ in 0..INTERIM_REPLIES_MAX {
            self.read_header().await?;
            let status = self.http.get_status().ok_or(Failure::Nonsense)?;
            if status == StatusCode::SWITCHING_PROTOCOLS {
                break;
            }
            if !status.is_informational() {
                return self.reply();
            }
        }
        Err(Failure::Nonsense)
    }

    /// The header of the reply, which has come.
    ///
    /// # Errors
    /// [`Failure::Nonsense`] if it has not.
    pub fn reply(&self) -> Result<&ResponseHeader, Failure> {
        self.http.resp_header().ok_or(Failure::Nonsense)
    }

    /// Pingora limits the time for each read of a header, not for all of them: a reply that
    /// comes a byte at a time would never be too slow.
    async fn read_header(&mut self) -> Result<(), Failure> {
        let wait = self.http.read_timeout.unwrap_or_default();
        match tokio::time::timeout(wait, self.http.read_response()).await {
            Ok(read) => read.map(|_bytes| ()).map_err(Failure::from),
            Err(_elapsed) => Err(Failure::Silent),
        }
    }

    /// The next bytes of the reply's body, as they came; `None` at its end.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        self.http.read_body_bytes().await.map_err(Failure::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm_contract::Chain;

    #[test]
    fn what_came_instead_of_a_header_is_in_no_error() {
        let error = pingora_core::Error::explain(ErrorType::InvalidHTTPHeader, "buf: sk-theirs");
        assert!(!Chain(&Failure::from(error)).to_string().contains("sk-theirs"));
    }
}
