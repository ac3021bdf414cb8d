//! Summarizes one event of a stream: usage, an error, the end, or output text.
//!
//! Nearly all events are output text and nothing else. So an event is first searched for the words
//! that make it special, which costs a few nanoseconds, and only if one is found the JSON is
//! walked to see whether it is a member that counts.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::UsageFormat;
use super::sse::SseEvent;
use super::token_counts::TokenCounts;
use crate::body::json::{Member, MemberRemoval, ValueKind, members};

/// Upstreams write their keys without escapes.
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""usage""#));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""error""#));

#[derive(Debug, Default)]
pub(super) struct EventSummary {
    /// Cumulative.
    pub(super) counts: Option<TokenCounts>,
    /// The type of the member `usage` of the outermost object.
    pub(super) usage_kind: Option<ValueKind>,
    /// The parts of the data to remove to be rid of that member.
    pub(super) usage_spans: Vec<Range<usize>>,
    /// `choices` is an empty list: OpenAI's event that carries only usage.
    pub(super) has_no_choices: bool,
    pub(super) is_error: bool,
    pub(super) is_last: bool,
    /// It has output text that `counts` does not include.
    pub(super) has_uncounted_text: bool,
}

impl EventSummary {
    pub(super) fn of(usage_format: UsageFormat, event: &SseEvent<'_>) -> Self {
        let data: &[u8] = &event.data.text;
        if data.starts_with(b"[DONE]") {
            return Self { is_last: usage_format != UsageFormat::Messages, ..Self::default() };
        }
        let mut summary = Self::default();
        let mut removal = MemberRemoval::default();
        let mut kind = event.name;
        let has_usage = USAGE.find(data).is_some();
        let untyped = event.name.is_none()
            && matches!(usage_format, UsageFormat::Responses | UsageFormat::Messages);
        if has_usage || untyped || ERROR.find(data).is_some() {
            let valid = members(data, |member| {
                if member.key == "type" && kind.is_none() && member.kind == ValueKind::String {
                    kind = data.get(inside(member.value.clone()));
                }
                let is_usage = member.key_is("usage");
                summary.usage_spans.extend(removal.visit(&member, is_usage));
                summary.add_member(data, &member, is_usage);
            });
            summary.usage_spans.extend(removal.finish());
            if valid.is_err() {
                summary = Self::default();
            }
        }
        summary.add_type(kind.unwrap_or_default());
        // Anthropic's SDKs skip an event without a name, so the client does not see the error.
        summary.is_error &= usage_format != UsageFormat::Messages || event.name.is_some();
        summary.has_uncounted_text = summary.counts.is_none() && has_text(usage_format, data);
        summary
    }

    fn add_member(&mut self, data: &[u8], member: &Member<'_>, is_usage: bool) {
        let value = || member.value_in(data);
        if is_usage {
            self.counts = TokenCounts::parse(value()).or(self.counts);
            self.usage_kind = Some(member.kind);
            return;
        }
        match (member.key, member.kind) {
            ("choices", ValueKind::Array) => self.has_no_choices = is_empty_list(value()),
            ("error", ValueKind::Object | ValueKind::String) => self.is_error = true,
            ("response" | "message", ValueKind::Object) => {
                // The whole has been checked, so this part is valid.
                let _valid = members(value(), |inner| {
                    if inner.key == "usage" {
                        let usage = value().get(inner.value).and_then(TokenCounts::parse);
                        self.counts = usage.or(self.counts);
                    }
                });
            }
            _ => {}
        }
    }

    fn add_type(&mut self, kind: &[u8]) {
        match kind {
            b"error" => self.is_error = true,
            b"response.failed" => (self.is_error, self.is_last) = (true, true),
            b"response.completed" | b"response.incomplete" | b"message_stop" => self.is_last = true,
            b"transcript.text.done" | b"image_generation.completed" => self.is_last = true,
            _ => {}
        }
    }
}

fn inside(string: Range<usize>) -> Range<usize> {
    string.start + 1..string.end.saturating_sub(1)
}

fn is_empty_list(list: &[u8]) -> bool {
    let within = list.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    within.is_some_and(|within| within.trim_ascii().is_empty())
}

/// The keys of output text: text, reasoning, arguments of tools. The first is the one that nearly
/// all events have.
fn text_keys(usage_format: UsageFormat) -> &'static [&'static [u8]] {
    match usage_format {
        UsageFormat::Chat => {
            &[b"content", b"reasoning", b"reasoning_content", b"arguments", b"refusal"]
        }
        UsageFormat::Completions => &[b"text"],
        UsageFormat::Responses => &[b"delta"],
        UsageFormat::Messages => &[b"text", b"thinking", b"partial_json"],
        UsageFormat::Audio => &[b"content", b"delta"],
        UsageFormat::Embeddings | UsageFormat::Images | UsageFormat::None => &[],
    }
}

/// Finds the first of these keys with a text, in JSON without white space. A quote inside of a
/// string is escaped, so this is never found in output text.
fn usual_text(usage_format: UsageFormat) -> Option<&'static Finder<'static>> {
    static CONTENT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""content":""#));
    static TEXT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""text":""#));
    static DELTA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""delta":""#));
    match usage_format {
        UsageFormat::Chat | UsageFormat::Audio => Some(&CONTENT),
        UsageFormat::Completions | UsageFormat::Messages => Some(&TEXT),
        UsageFormat::Responses => Some(&DELTA),
        UsageFormat::Embeddings | UsageFormat::Images | UsageFormat::None => None,
    }
}

/// Whether a key of output text, at any depth, has a text that is not empty.
fn has_text(usage_format: UsageFormat, data: &[u8]) -> bool {
    let keys = text_keys(usage_format);
    let Some(usual) = usual_text(usage_format) else { return false };
    let text = usual.find(data).and_then(|at| data.get(at + usual.needle().len()));
    if text.is_some_and(|first| *first != b'"') {
        return true;
    }
    let mut rest = data;
    while let Some(string) = next_string(&mut rest) {
        let Some(value) = rest.trim_ascii_start().strip_prefix(b":") else { continue };
        rest = value.trim_ascii_start();
        let full = rest.strip_prefix(b"\"").is_some_and(|text| text.first() != Some(&b'"'));
        if full && keys.contains(&string) {
            return true;
        }
        if rest.first() == Some(&b'"') {
            next_string(&mut rest);
        }
    }
    false
}

/// Advances `rest` past the next string, and returns the text between its quotes.
fn next_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let start = memchr::memchr(b'"', rest)? + 1;
    let mut end = start;
    loop {
        end += memchr::memchr2(b'"', b'\\', rest.get(end..)?)?;
        if rest.get(end) == Some(&b'"') {
            break;
        }
        end += 2;
    }
    let string = rest.get(start..end);
    *rest = rest.get(end + 1..)?;
    string
}

#[cfg(test)]
mod tests;
