//! Writes responses of the gateway itself.

use super::{context::ResponseContext, rejection::Rejection};
use bytes::Bytes;
use http::{StatusCode, header};
use pingora_core::protocols::http::ServerSession;
use pingora_http::ResponseHeader;
use std::time::Duration;

/// How long to read what a client still sends after its response: a client that is writing its
/// body would otherwise lose our response to a reset.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Fallible only because Pingora's builder is.
pub fn json_header(
    status: StatusCode,
    body_bytes: usize,
    context: &ResponseContext,
) -> pingora_core::Result<ResponseHeader> {
    let mut header = ResponseHeader::build(status, Some(10))?;
    header.insert_header(header::CONTENT_TYPE, "application/json")?;
    header.insert_header(header::CONTENT_LENGTH, body_bytes)?;
    context.apply_headers(&mut header)?;
    Ok(header)
}

/// Writes a response, and drains the request for a while.
pub async fn send(
    session: &mut ServerSession,
    header: ResponseHeader,
    body: Bytes,
) -> pingora_core::Result<()> {
    session.write_response_header(Box::new(header)).await?;
    session.write_response_body(body, true).await?;
    session.set_total_drain_timeout(Some(DRAIN_TIMEOUT));
    session.drain_request_body().await
}

pub async fn send_rejection(
    session: &mut ServerSession,
    rejection: &Rejection,
    context: &ResponseContext,
) -> pingora_core::Result<()> {
    let (header, body) = rejection_response(rejection, context)?;
    if let Rejection::InvalidFraming(_) = rejection {
        // Where the next request would begin is unknown.
        session.set_keepalive(None);
    }
    send(session, header, body).await
}

/// A rejection as header and body.
pub fn rejection_response(
    rejection: &Rejection,
    context: &ResponseContext,
) -> pingora_core::Result<(ResponseHeader, Bytes)> {
    let body = rejection.body(context.dialect, &context.request_id);
    let mut header = json_header(rejection.status(context.dialect), body.len(), context)?;
    for (name, value) in rejection.headers() {
        header.insert_header(name, value)?;
    }
    Ok((header, body.into()))
}
