//! The first look at a reply.

use super::refusal::{self, Refusal};
use crate::{
    upstream::connection::{Connection, Failure},
    usage::{self, FirstEvent},
};
use bytes::{Bytes, BytesMut};
use http::{StatusCode, header};
use pingora_http::ResponseHeader;

/// How much of a stream is looked at for its first event.
const LOOKED_AT_BYTES_MAX: usize = 64 * 1024;

/// What a reply turns out to be.
pub enum First {
    /// A stream of events, and what has come of it.
    Stream(Vec<Bytes>),
    /// Anything else that is not an error, and what has come of it.
    Whole(Vec<Bytes>),
    /// An error, with its whole body.
    Refusal(Refusal),
}

/// Awaits a reply until it is clear what it is.
///
/// # Errors
/// If the connection breaks before that, or a stream ends without an event: the client has been
/// told nothing, and another endpoint may be asked.
pub async fn look(connection: &mut Connection) -> Result<First, Failure> {
    let header = connection.header().await?;
    let (status, is_event_stream) = (header.status, is_event_stream(header));
    if status.is_client_error() || status.is_server_error() {
        let body = refusal::read(connection).await?;
        return Ok(First::Refusal(Refusal::new(connection.reply()?, body)));
    }
    if !status.is_success() {
        return Err(Failure::Nonsense);
    }
    // Whether a stream was asked for does not count: the upstream may have read that otherwise.
    if !is_event_stream {
        let held = connection.chunk().await?.into_iter().collect();
        return Ok(First::Whole(held));
    }
    let (mut held, mut seen) = (Vec::new(), BytesMut::new());
    while seen.len() < LOOKED_AT_BYTES_MAX {
        let Some(chunk) = connection.chunk().await? else { return Err(Failure::Nonsense) };
        seen.extend_from_slice(&chunk);
        held.push(chunk);
        match usage::first_event(&seen) {
            Some(FirstEvent::Error { status, body }) => {
                return Ok(First::Refusal(Refusal::in_stream(status, connection.reply()?, body)));
            }
            Some(FirstEvent::Data | FirstEvent::Done) => break,
            None => {}
        }
    }
    Ok(First::Stream(held))
}

fn is_event_stream(header: &ResponseHeader) -> bool {
    header.headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes();
        let media_type = kind.split(|byte| *byte == b';').next().unwrap_or(kind);
        media_type.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    })
}

impl First {
    /// What has come of the body.
    pub fn held(&self) -> &[Bytes] {
        match self {
            Self::Stream(held) | Self::Whole(held) => held,
            Self::Refusal(_) => &[],
        }
    }

    /// Whether another endpoint may well do what this one will not do now.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Refusal(it) if it.status() == StatusCode::SERVICE_UNAVAILABLE)
    }
}
