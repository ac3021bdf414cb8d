//! What one event of a stream tells: usage, an error, the end, or a piece of the answer.
//!
//! Nearly all events are pieces of the answer and nothing else. So an event is first searched
//! for the words that make it special, which costs a few nanoseconds, and only if one is there
//! the JSON is walked to see whether it stands where it means something.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::Shape;
use super::counts::Counts;
use super::sse::Event;
use crate::body::json::{Kind, Member, members};

/// Upstreams write their keys without escapes.
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""usage""#));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""error""#));

/// What an event tells.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The tokens used so far.
    pub(super) counts: Option<Counts>,
    /// The member `usage` of the outermost object.
    pub(super) usage: Option<UsageMember>,
    /// Whether `choices` is an empty list: OpenAI's event that carries only usage.
    pub(super) no_choices: bool,
    /// Something went wrong.
    pub(super) failed: bool,
    /// Nothing comes behind it.
    pub(super) last: bool,
    /// It brings a piece of the answer.
    pub(super) answers: bool,
}

/// A member `usage` of the outermost object.
#[derive(Debug)]
pub(super) struct UsageMember {
    /// What its value is.
    pub(super) kind: Kind,
    /// What to take out of the data to be rid of it: the member and one comma.
    pub(super) cut: Range<usize>,
    /// Whether there is another one; then that is not all.
    pub(super) repeated: bool,
}

/// Where the members beside `usage` are, while the outermost object is walked over.
#[derive(Default)]
struct Neighbours {
    kept_end: Option<usize>,
    open: bool,
}

impl Facts {
    /// Reads an event of a stream of this shape.
    pub(super) fn of(shape: Shape, event: &Event<'_>) -> Self {
        let data: &[u8] = &event.data.text;
        if data.starts_with(b"[DONE]") {
            return Self { last: shape != Shape::Messages, ..Self::default() };
        }
        let mut facts = Self::default();
        let mut beside = Neighbours::default();
        let mut kind = event.name;
        let has_usage = USAGE.find(data).is_some();
        let untyped = event.name.is_none() && matches!(shape, Shape::Responses | Shape::Messages);
        if has_usage || untyped || ERROR.find(data).is_some() {
            let valid = members(data, |member| {
                if member.key == "type" && kind.is_none() && member.kind == Kind::String {
                    kind = data.get(inside(member.value.clone()));
                }
                facts.take(data, &member, &mut beside);
            });
            if valid.is_err() {
                facts = Self::default();
            }
        }
        facts.take_type(kind.unwrap_or_default());
        // Anthropic's SDKs skip an event without a name, so the client has not been told.
        facts.failed &= shape != Shape::Messages || event.name.is_some();
        // What it brings is in its count, if it has one.
        facts.answers = facts.counts.is_none() && brings_text(shape, data);
        facts
    }

    fn take(&mut self, data: &[u8], member: &Member<'_>, beside: &mut Neighbours) {
        let value = || data.get(member.value.clone()).unwrap_or_default();
        if let Some(usage) = self.usage.as_mut().filter(|_| beside.open) {
            // There was no comma in front of it to go with it, so it is the one behind.
            usage.cut.end = member.span.start;
            beside.open = false;
        }
        if member.key == "usage" {
            self.counts = Counts::read(value()).or(self.counts);
            self.usage = Some(UsageMember {
                kind: member.kind,
                cut: beside.kept_end.unwrap_or(member.span.start)..member.span.end,
                repeated: self.usage.is_some(),
            });
            beside.open = beside.kept_end.is_none();
            return;
        }
        beside.kept_end = Some(member.span.end);
        match (member.key, member.kind) {
            ("choices", Kind::Array) => self.no_choices = is_empty_list(value()),
            ("error", Kind::Object | Kind::String) => self.failed = true,
            ("response" | "message", Kind::Object) => {
                // An error would have been one in the whole.
                let _valid = members(value(), |inner| {
                    if inner.key == "usage" {
                        let usage = value().get(inner.value).and_then(Counts::read);
                        self.counts = usage.or(self.counts);
                    }
                });
            }
            _ => {}
        }
    }

    fn take_type(&mut self, kind: &[u8]) {
        match kind {
            b"error" => self.failed = true,
            b"response.failed" => (self.failed, self.last) = (true, true),
            b"response.completed" | b"response.incomplete" | b"message_stop" => self.last = true,
            b"transcript.text.done" | b"image_generation.completed" => self.last = true,
            _ => {}
        }
    }
}

/// A string's text, without its quotes.
fn inside(string: Range<usize>) -> Range<usize> {
    string.start + 1..string.end.saturating_sub(1)
}

fn is_empty_list(list: &[u8]) -> bool {
    let within = list.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    within.is_some_and(|within| within.trim_ascii().is_empty())
}

/// The keys under which the pieces of an answer are: text, reasoning, arguments of tools. The
/// first is the one that nearly all events have.
fn text_keys(shape: Shape) -> &'static [&'static [u8]] {
    match shape {
        Shape::Chat => &[b"content", b"reasoning", b"reasoning_content", b"arguments", b"refusal"],
        Shape::Completions => &[b"text"],
        Shape::Responses => &[b"delta"],
        Shape::Messages => &[b"text", b"thinking", b"partial_json"],
        Shape::Audio => &[b"content", b"delta"],
        Shape::Embeddings | Shape::Images | Shape::None => &[],
    }
}

/// Where the first of these keys has a text, in JSON without white space. A quote inside of a
/// string has a backslash before it, so this is not found in what a model says.
fn usual_text(shape: Shape) -> Option<&'static Finder<'static>> {
    static CONTENT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""content":""#));
    static TEXT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""text":""#));
    static DELTA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r#""delta":""#));
    match shape {
        Shape::Chat | Shape::Audio => Some(&CONTENT),
        Shape::Completions | Shape::Messages => Some(&TEXT),
        Shape::Responses => Some(&DELTA),
        Shape::Embeddings | Shape::Images | Shape::None => None,
    }
}

/// Whether a key of that kind, at any depth, has a text that is not empty.
fn brings_text(shape: Shape, data: &[u8]) -> bool {
    let keys = text_keys(shape);
    let Some(usual) = usual_text(shape) else { return false };
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

/// Takes everything up to behind the next string off `rest`; what stands between the quotes.
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
