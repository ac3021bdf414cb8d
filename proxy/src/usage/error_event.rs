//! Errors inside a reply that began with 200: the upstream's as the first event, ours as the last.
//!
//! vLLM may answer 200 and send its error as the first event. So the relay of a stream peeks at
//! the first event before the 200 goes out: until then another endpoint can be tried, or the
//! client given the status it would have got without a stream.

use bytes::Bytes;
use serde_json::json;

use super::UsageFormat;
use super::sse::{SseEvent, SseSplitter};
use crate::body::json::{ValueKind, members};

/// The first event of a stream that is not a comment or a ping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstEvent {
    Data,
    Error {
        /// The HTTP status in `code`, where vLLM writes it.
        status: Option<u16>,
        /// As a reply's body: an object with a member `error`.
        body: Bytes,
    },
    /// The end of a stream without output.
    Done,
}

const ERROR_STATUSES: std::ops::Range<u16> = 400..600;

/// Classifies the first event of the stream that begins with `head`; `None` if it is incomplete.
/// Comments and pings do not count: an error may still follow them.
pub fn first_event(head: &[u8]) -> Option<FirstEvent> {
    let mut splitter = SseSplitter::default();
    let mut rest = head;
    while let Some(event) = splitter.next(&mut rest) {
        let first = classify(event);
        if first.is_some() {
            return first;
        }
    }
    None
}

/// `None` for a comment or a ping.
fn classify(event: &[u8]) -> Option<FirstEvent> {
    let event = SseEvent::parse(event)?;
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
        ("error", ValueKind::Object | ValueKind::String) => error = Some(member),
        ("type", ValueKind::String) => is_typed_error |= member.value_in(data) == br#""error""#,
        _ => {}
    });
    let whole = || Bytes::copy_from_slice(data);
    Some(match (valid, error) {
        (Ok(()), Some(error)) => {
            FirstEvent::Error { status: status(error.value_in(data)), body: whole() }
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
        if member.key == "code" && member.kind == ValueKind::Number {
            status = str::from_utf8(member.value_in(error)).ok().and_then(|code| code.parse().ok());
        }
    })
    .ok()?;
    status.filter(|status| ERROR_STATUSES.contains(status))
}

/// The event that ends a broken stream. No `[DONE]` follows it.
///
/// `events` is the number of events before it: its sequence number in the Responses API.
///
/// OpenAI's SDKs raise an error for an event whose JSON has `error`, and for no other: the event
/// that the Responses API documents (`type`, `code`, `message`, `param`) they return as if it were
/// output. So that one carries both. Anthropic's SDKs raise for `event: error`.
/// (openai-python 3.54 `_streaming.py`, openai-node 6.49 `core/streaming.ts`, anthropic 2.12
/// `_streaming.py`.)
pub fn error_event(usage_format: UsageFormat, code: &str, message: &str, events: u64) -> Bytes {
    let error = json!({ "message": message, "type": "server_error", "param": null, "code": code });
    let (name, data) = match usage_format {
        UsageFormat::Responses => (
            "event: error\n",
            json!({
                "type": "error", "code": code, "message": message, "param": null,
                "sequence_number": events, "error": error,
            }),
        ),
        UsageFormat::Messages => (
            "event: error\n",
            json!({ "type": "error", "error": { "type": "api_error", "message": message } }),
        ),
        UsageFormat::Chat
        | UsageFormat::Completions
        | UsageFormat::Embeddings
        | UsageFormat::Audio
        | UsageFormat::Images
        | UsageFormat::None => ("", json!({ "error": error })),
    };
    format!("{name}data: {data}\n\n").into()
}

#[cfg(test)]
mod tests;
