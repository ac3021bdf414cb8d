//! The head of a reply: its status, and whether it is a stream.

use super::error_reply::{self, ErrorReply};
use crate::{
    upstream::{UpstreamError, connection::Connection},
    usage::{self, FirstEvent},
};
use bytes::{Bytes, BytesMut};
use http::{StatusCode, header};
use pingora_http::ResponseHeader;

/// How much of a stream is searched for its first event.
const SEARCHED_BYTES_MAX: usize = 64 * 1024;

pub enum ReplyHead {
    /// Events, and what was received of them.
    Stream(Vec<Bytes>),
    /// A success that is no stream, and what was received of it.
    Whole(Vec<Bytes>),
    /// An error, with its whole body.
    Error(ErrorReply),
}

/// Reads a reply until it is clear what it is. After an error the client has been sent nothing,
/// so that another endpoint may be tried.
pub async fn peek(connection: &mut Connection) -> Result<ReplyHead, UpstreamError> {
    let header = connection.header().await?;
    let (status, is_event_stream) = (header.status, is_event_stream(header));
    if status.is_client_error() || status.is_server_error() {
        let body = error_reply::read_body(connection).await?;
        return Ok(ReplyHead::Error(ErrorReply::new(status, connection.reply()?, body)));
    }
    if !status.is_success() {
        return Err(UpstreamError::InvalidReply);
    }
    // Not whether a stream was requested: the upstream may have parsed that differently.
    if !is_event_stream {
        let buffered = connection.chunk().await?.into_iter().collect();
        return Ok(ReplyHead::Whole(buffered));
    }
    let (mut buffered, mut seen) = (Vec::new(), BytesMut::new());
    while seen.len() < SEARCHED_BYTES_MAX {
        let Some(chunk) = connection.chunk().await? else {
            return Err(UpstreamError::InvalidReply);
        };
        seen.extend_from_slice(&chunk);
        buffered.push(chunk);
        match usage::first_event(&seen) {
            Some(FirstEvent::Error { status, body }) => {
                let error = ErrorReply::in_stream(status, connection.reply()?, body);
                return Ok(ReplyHead::Error(error));
            }
            Some(FirstEvent::Data | FirstEvent::Done) => break,
            None => {}
        }
    }
    Ok(ReplyHead::Stream(buffered))
}

fn is_event_stream(header: &ResponseHeader) -> bool {
    header.headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes();
        let media_type = kind.split(|byte| *byte == b';').next().unwrap_or(kind);
        media_type.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    })
}

impl ReplyHead {
    /// What was received of the body.
    pub fn buffered(&self) -> &[Bytes] {
        match self {
            Self::Stream(buffered) | Self::Whole(buffered) => buffered,
            Self::Error(_) => &[],
        }
    }

    /// 200 for every success.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Stream(_) | Self::Whole(_) => StatusCode::OK,
            Self::Error(error) => error.status(),
        }
    }
}
