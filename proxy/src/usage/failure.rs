//! Errors inside a reply that began with 200: theirs as the first event, ours as the last.
//!
//! vLLM may answer 200 and carry its refusal as the first event. So whoever relays a stream
//! looks at its first event before the 200 goes out: until then another endpoint can be tried,
//! or the client given the status it would have got without a stream.

use bytes::Bytes;
use serde_json::json;

use super::Shape;
use super::sse::{Cutter, Event};
use crate::body::json::{Kind, Member, members};

/// What a stream begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstEvent {
    /// An answer.
    Data,
    /// An error in the place of an answer.
    Error {
        /// The HTTP status it would have been, if it says so: vLLM writes it into `code`.
        status: Option<u16>,
        /// The error as the body of a reply: an object with a member `error`.
        body: Bytes,
    },
    /// The end: there is no answer.
    Done,
}

/// The statuses that an error can ask for.
const ERROR_STATUSES: std::ops::Range<u16> = 400..600;

/// What the stream that begins with `head` begins with; `None` if its first event has not come
/// whole. Comments and pings do not count: they tell nothing of what will follow.
pub fn first_event(head: &[u8]) -> Option<FirstEvent> {
    let mut cutter = Cutter::default();
    let mut rest = head;
    while let Some(event) = cutter.next(&mut rest) {
        let first = look(event);
        if first.is_some() {
            return first;
        }
    }
    None
}

/// What one event is; `None` if it is a comment or a ping.
pub fn look(event: &[u8]) -> Option<FirstEvent> {
    let event = Event::read(event)?;
    let data: &[u8] = &event.data.text;
    if event.name == Some(b"ping") {
        return None;
    }
    if data.starts_with(b"[DONE]") {
        return Some(FirstEvent::Done);
    }
    let mut error = None;
    let mut is_typed_error = event.name == Some(b"error");
    let valid = members(data, |member| match (member.key, member.kind) {
        ("error", Kind::Object | Kind::String) => error = Some(member),
        ("type", Kind::String) => is_typed_error |= text(data, &member) == br#""error""#,
        _ => {}
    });
    let whole = || Bytes::copy_from_slice(data);
    Some(match (valid, error) {
        (Ok(()), Some(error)) => {
            FirstEvent::Error { status: status(text(data, &error)), body: whole() }
        }
        (Ok(()), None) if is_typed_error => FirstEvent::Error {
            status: status(data),
            body: [br#"{"error":"#, data, b"}"].concat().into(),
        },
        (Err(_), _) if is_typed_error => {
            let message = String::from_utf8_lossy(data);
            let body = json!({ "error": { "message": message, "type": "server_error" } });
            FirstEvent::Error { status: None, body: body.to_string().into() }
        }
        (Ok(()) | Err(_), _) => FirstEvent::Data,
    })
}

/// The integer `code` of an error, if it is the status of one.
fn status(error: &[u8]) -> Option<u16> {
    let mut status = None;
    members(error, |member| {
        if member.key == "code" && member.kind == Kind::Number {
            status = str::from_utf8(text(error, &member)).ok().and_then(|code| code.parse().ok());
        }
    })
    .ok()?;
    status.filter(|status| ERROR_STATUSES.contains(status))
}

fn text<'a>(data: &'a [u8], member: &Member<'_>) -> &'a [u8] {
    data.get(member.value.clone()).unwrap_or_default()
}

/// The event that tells a client that its answer ends here, broken. No `[DONE]` follows it.
///
/// `events` is how many came before it, which is the number of this one in the Responses API.
///
/// OpenAI's SDKs raise an error for an event whose JSON has `error`, and for no other: the event
/// that the Responses API documents (`type`, `code`, `message`, `param`) they hand to the program
/// as if it were an answer. So that one carries both. Anthropic's SDKs raise for `event: error`.
/// (openai-python 3.54 `_streaming.py`, openai-node 6.49 `core/streaming.ts`, anthropic 2.12
/// `_streaming.py`.)
pub fn error_event(shape: Shape, code: &str, message: &str, events: u64) -> Bytes {
    let error = json!({ "message": message, "type": "server_error", "param": null, "code": code });
    let (name, data) = match shape {
        Shape::Chat
        | Shape::Completions
        | Shape::Embeddings
        | Shape::Audio
        | Shape::Images
        | Shape::None => ("", json!({ "error": error })),
        Shape::Responses => (
            "event: error\n",
            json!({
                "type": "error", "code": code, "message": message, "param": null,
                "sequence_number": events, "error": error,
            }),
        ),
        Shape::Messages => (
            "event: error\n",
            json!({ "type": "error", "error": { "type": "api_error", "message": message } }),
        ),
    };
    format!("{name}data: {data}\n\n").into()
}

#[cfg(test)]
mod tests;
