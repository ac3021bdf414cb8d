//! A connection to an endpoint, for one request and its reply.
//!
//! Pingora keeps the connections and reads the replies. The request is written here: header and
//! body are in memory, so that one system call sends both, and sending them again to another
//! endpoint costs nothing.

use super::{AddressPolicy, Endpoint, UpstreamError};
use bytes::{Buf, Bytes};
use http::StatusCode;
use pingora_core::{
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

/// Makes connections, and pools idle ones.
pub struct Connector {
    transport: TransportConnector,
    policy: AddressPolicy,
}

/// A connection to an endpoint, with a request on its way.
///
/// Passed from stage to stage and held across every wait, so it is small.
pub struct Connection {
    http: Box<HttpSession>,
    peer: Arc<HttpPeer>,
    reused: bool,
}

impl Connector {
    pub fn new(policy: AddressPolicy) -> Self {
        let options = ConnectorOptions::new(IDLE_CONNECTIONS_MAX);
        Self { transport: TransportConnector::new(Some(options)), policy }
    }

    /// Connects, or takes an idle connection, and sends a request.
    ///
    /// # Errors
    /// [`UpstreamError`]; not if the endpoint closes while the request is sent: its reply may
    /// still be read.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        request: (&[u8], &Bytes),
        fresh: bool,
        now: Instant,
    ) -> Result<Connection, UpstreamError> {
        let peer = endpoint.peer(self.policy, now).await?;
        let idle = if fresh { None } else { self.transport.reused_stream(&*peer).await };
        let reused = idle.is_some();
        let mut stream = match idle {
            Some(stream) => stream,
            // Boxed: connecting is rare, and its state would make every request's larger.
            None => Box::pin(self.transport.new_stream(&*peer))
                .await
                .map_err(UpstreamError::connecting)?,
        };
        let written = tokio::time::timeout(endpoint.timeouts.idle, write(&mut stream, request));
        match written.await {
            // An endpoint that rejects early closes while we still write; its reply is there.
            Ok(Ok(()) | Err(_)) => {}
            Err(_elapsed) => return Err(UpstreamError::IdleTimeout),
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

async fn write(stream: &mut Stream, (head, body): (&[u8], &Bytes)) -> io::Result<()> {
    if body.len() <= COPIED_BODY_BYTES_MAX {
        stream.write_all(&[head, body].concat()).await?;
    } else {
        stream.write_all_buf(&mut head.chain(body.clone())).await?;
    }
    stream.flush().await
}

impl Connection {
    /// Whether it was idle before this request, and nothing of a reply was received: then it may
    /// have been closed meanwhile, and an error says nothing about the endpoint.
    pub fn may_be_stale(&self) -> bool {
        self.reused && self.http.resp_header().is_none()
    }

    /// Awaits the header of the reply; interim replies are skipped.
    pub async fn header(&mut self) -> Result<&ResponseHeader, UpstreamError> {
        for _ in 0..INTERIM_REPLIES_MAX {
            self.read_header().await?;
            let status = self.http.get_status().ok_or(UpstreamError::InvalidReply)?;
            if status == StatusCode::SWITCHING_PROTOCOLS {
                break;
            }
            if !status.is_informational() {
                return self.reply();
            }
        }
        Err(UpstreamError::InvalidReply)
    }

    /// The header of the reply, once received.
    pub fn reply(&self) -> Result<&ResponseHeader, UpstreamError> {
        self.http.resp_header().ok_or(UpstreamError::InvalidReply)
    }

    /// Pingora limits the time for each read of a header, not for all of them: a reply that
    /// arrives a byte at a time would never time out.
    async fn read_header(&mut self) -> Result<(), UpstreamError> {
        let wait = self.http.read_timeout.unwrap_or_default();
        match tokio::time::timeout(wait, self.http.read_response()).await {
            Ok(read) => read.map(|_bytes| ()).map_err(UpstreamError::from),
            Err(_elapsed) => Err(UpstreamError::IdleTimeout),
        }
    }

    /// The next bytes of the reply's body; `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        self.http.read_body_bytes().await.map_err(UpstreamError::from)
    }
}
