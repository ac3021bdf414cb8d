//! One request and its reply: recorded, failed if a fault hits it, else answered.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{HeaderName, Request, Response};
use hyper::body::Incoming;

use crate::api::{self, Call, Refusal};
use crate::body::{self, Content, Cut, ReplyBody, Then, Unread};
use crate::clock;
use crate::fault::Fault;
use crate::received::{Ended, Received};
use crate::server::Shared;
use crate::wire::{Control, Ending, Mode};

/// Bytes that follow a reply whose content-length is too short.
const SURPLUS: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsmuggled!";
/// Bytes that a content-length that is too long promises in vain.
const MISSING_BYTES: usize = 100;
const GARBAGE: &[u8] = b"\x00\xff\x13 220 this is not HTTP\r\n\r\n\x01\x02";

/// One request in the record, from its head to its end.
pub(crate) struct Exchange {
    shared: Arc<Shared>,
    id: u64,
    /// Unset for the control paths, which are not part of what is tested.
    counted: bool,
    completed: bool,
}

impl Exchange {
    fn open(shared: Arc<Shared>, connection: u64, request: &Request<Incoming>) -> Self {
        let id = shared.requests.fetch_add(1, Relaxed) + 1;
        let counted = !api::is_control(request.uri().path());
        if counted {
            let mut headers = request.headers().clone();
            mark_credentials(&mut headers);
            shared.log.push(Received {
                id,
                connection,
                at: clock::now() - shared.started,
                method: request.method().clone(),
                path_and_query: request
                    .uri()
                    .path_and_query()
                    .map_or_else(|| "/".to_owned(), ToString::to_string),
                version: request.version(),
                headers,
                body: Bytes::new(),
                ended: Ended::Open,
            });
            shared.state.change(|state| state.received += 1);
        }
        Self { shared, id, counted, completed: false }
    }

    pub(crate) fn complete(&mut self) {
        self.completed = true;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.counted {
            return;
        }
        let ended = if self.completed { Ended::Completed } else { Ended::Aborted };
        self.shared.log.set_ended(self.id, ended);
        self.shared.state.change(|state| {
            state.completed += u64::from(self.completed);
            state.aborted += u64::from(!self.completed);
        });
    }
}

/// Reads, records, fails or answers one request.
pub(crate) async fn serve(
    shared: Arc<Shared>,
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
            let reply = call.refuse(&Refusal::InvalidFault(invalid));
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
        Err(Unread::TooLarge) => call.refuse(&Refusal::BodyTooLarge),
        Err(Unread::Broken) => {
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
        Some(Fault::ResetAfterEvents(n)) => Cut::AfterEvents(n, Then::Cut(Ending::Reset)),
        Some(Fault::CloseAfterEvents(n)) => Cut::AfterEvents(n, Then::Cut(Ending::Close)),
        Some(Fault::StallAfterEvents(n)) => Cut::AfterEvents(n, Then::Stall),
        Some(Fault::ErrorAfterEvents(n)) => Cut::AfterEvents(n, Then::Error),
        Some(Fault::EndAfterEvents(n)) => Cut::AfterEvents(n, Then::End),
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

fn mark_credentials(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        if *name == AUTHORIZATION || name == "x-api-key" {
            value.set_sensitive(true);
        }
    }
}
