//! Serves a request: recorded, failed if a fault hits it, else answered.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{HeaderName, Request, Response};
use hyper::body::Incoming;

use crate::api::{self, ApiError, Call};
use crate::body::{self, AfterCut, BodyError, Content, Cut, ReplyBody};
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::shared::ServerState;
use crate::wire::{Control, Ending, Mode};

/// Bytes that follow a reply whose content-length is too short.
const SURPLUS: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsmuggled!";
/// Bytes that a content-length that is too long promises in vain.
const MISSING_BYTES: usize = 100;
const GARBAGE: &[u8] = b"\x00\xff\x13 220 this is not HTTP\r\n\r\n\x01\x02";

/// Reads, records, fails or answers one request.
pub(crate) async fn serve(
    shared: Arc<ServerState>,
    control: Arc<Control>,
    connection: u64,
    first: bool,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    control.set(Mode::Plain);
    let exchange = Exchange::open(shared.clone(), connection, &request);
    let (head, incoming) = request.into_parts();
    let call = Call::new(shared.clone(), &head);
    let fault = match shared.fault(&head) {
        Ok(fault) => fault,
        Err(invalid) => {
            let reply = call.error_reply(&ApiError::InvalidFault(invalid));
            return Ok(send(reply, None, control, exchange));
        }
    };
    if fault == Some(Fault::CloseOnReuse) && !first {
        control.end(Ending::Close);
        return std::future::pending().await;
    }
    let reply = match body::read(incoming, shared.config.body_bytes_max).await {
        Ok(body) => {
            shared.log.set_body(exchange.id, body.clone());
            match fault {
                Some(Fault::ResetBeforeHeaders) => {
                    control.end(Ending::Reset);
                    return std::future::pending().await;
                }
                Some(Fault::StallBeforeHeaders) => return std::future::pending().await,
                Some(fault) => match call.failed(fault, &body) {
                    Some(reply) => reply,
                    None => api::answer(call, body).await,
                },
                None => api::answer(call, body).await,
            }
        }
        Err(BodyError::TooLarge) => call.error_reply(&ApiError::BodyTooLarge),
        Err(BodyError::Broken) => {
            control.end(Ending::Close);
            return std::future::pending().await;
        }
    };
    Ok(send(reply, fault, control, exchange))
}

/// Hands a reply to the connection, with what a fault does to its bytes.
fn send(
    reply: Response<Content>,
    fault: Option<Fault>,
    control: Arc<Control>,
    exchange: Exchange,
) -> Response<ReplyBody> {
    let (mut head, content) = reply.into_parts();
    head.headers.insert(http::header::SERVER, HeaderValue::from_static("uvicorn"));
    match fault {
        Some(Fault::SlowHeaders(ms)) => {
            control.set(Mode::Drip { every: Duration::from_millis(ms), seen: 0 });
        }
        Some(Fault::ResetAfterBytes(bytes)) => control.set(Mode::Budget(bytes)),
        Some(Fault::Garbage) => control.set(Mode::InsteadAndClose(Bytes::from_static(GARBAGE))),
        Some(Fault::LongContentLength) => {
            let json = json_of(&content);
            let raw = raw_reply(&json, json.len() + MISSING_BYTES, "");
            control.set(Mode::InsteadAndClose(raw));
        }
        Some(Fault::ShortContentLength) => {
            let json = json_of(&content);
            control.set(Mode::Instead(raw_reply(&json, json.len(), SURPLUS)));
        }
        Some(Fault::HugeHeader(bytes)) => {
            let value = HeaderValue::try_from("h".repeat(bytes));
            head.headers.extend(value.ok().map(|v| (HeaderName::from_static("x-huge"), v)));
        }
        _ => {}
    }
    let cut = match fault {
        Some(Fault::ResetAfterEvents(n)) => Cut::AfterEvents(n, AfterCut::Cut(Ending::Reset)),
        Some(Fault::CloseAfterEvents(n)) => Cut::AfterEvents(n, AfterCut::Cut(Ending::Close)),
        Some(Fault::StallAfterEvents(n)) => Cut::AfterEvents(n, AfterCut::Stall),
        Some(Fault::ErrorAfterEvents(n)) => Cut::AfterEvents(n, AfterCut::Error),
        Some(Fault::EndAfterEvents(n)) => Cut::AfterEvents(n, AfterCut::End),
        Some(Fault::NoDone) => Cut::BeforeTail,
        _ => Cut::Nowhere,
    };
    Response::from_parts(head, ReplyBody::new(content, cut, control, exchange))
}

fn json_of(content: &Content) -> Bytes {
    match content {
        Content::Whole(bytes) => bytes.clone(),
        Content::Events(_) => Bytes::from_static(b"{}"),
    }
}

fn raw_reply(body: &[u8], content_length: usize, surplus: &str) -> Bytes {
    let mut raw = format!(
        "HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-length: {content_length}\r\n\
         content-type: application/json\r\n\r\n"
    )
    .into_bytes();
    raw.extend_from_slice(body);
    raw.extend_from_slice(surplus.as_bytes());
    raw.into()
}
