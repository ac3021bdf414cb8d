//! One pass over a JSON object: validates all of it, and finds its members.
//!
//! The gateway decides on a few members of bodies that may be megabytes long, and forwards
//! the bytes unchanged. So no tree is built: the scanner walks the text once, validates
//! it against RFC 8259, and returns spans. It does not recurse, because the sender chooses how
//! deep a document nests, and a stack overflow cannot be caught.
//!
//! It is stricter than the parsers behind us in nothing but depth, and never more lenient: what
//! it accepts, Python's `json` and `serde_json` read the same way. It accepts two things legal by
//! the grammar and yet rejected by `serde_json::Value`: a `\u` escape that is half of a surrogate
//! pair (JavaScript sends it when a text was cut inside an emoji), and a number too large for a
//! double. Neither is decoded unless that text is read.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use scanner::Scanner;

/// The deepest nesting of objects and arrays, the outermost included. Python's parser, which most
/// upstreams use, gives up near 1,000.
pub const DEPTH_MAX: usize = 512;

/// A member of the outermost object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The key as written, without its quotes and with its escapes.
    pub key: &'a str,
    /// From the key's opening quote to the end of the value.
    pub span: Range<usize>,
    /// The value, with the quotes of a string.
    pub value: Range<usize>,
    pub kind: ValueKind,
    key_is_escaped: bool,
}

impl Member<'_> {
    pub fn value_in<'d>(&self, document: &'d [u8]) -> &'d [u8] {
        document.get(self.value.clone()).unwrap_or_default()
    }

    /// Whether the key is `name`, also with escapes: `"mod\u0065l"` is `model`.
    pub fn key_is(&self, name: &str) -> bool {
        self.compare_key(name, str::eq)
    }

    /// Whether the key is `name` to a parser that ignores case, such as Go's.
    pub fn key_is_ignoring_case(&self, name: &str) -> bool {
        self.compare_key(name, str::eq_ignore_ascii_case)
    }

    fn compare_key(&self, name: &str, are_equal: fn(&str, &str) -> bool) -> bool {
        // An escape is always longer than its character.
        if self.key_is_escaped && self.key.len() > name.len() {
            return unescaped(self.key).is_ok_and(|key| are_equal(&key, name));
        }
        are_equal(self.key, name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    String,
    Number,
    Bool(bool),
    Null,
    Array,
    Object,
}

impl fmt::Display for ValueKind {
    /// With its article, for use in a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "a string",
            Self::Number => "a number",
            Self::Bool(_) => "a boolean",
            Self::Null => "null",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct InvalidJson {
    /// The first byte that cannot be right, counted from 0.
    pub offset: usize,
    pub reason: InvalidJsonReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJsonReason {
    #[error("invalid UTF-8")]
    InvalidUtf8,
    #[error("a JSON object is expected, not {0},")]
    NotAnObject(ValueKind),
    #[error("unexpected character")]
    UnexpectedByte,
    #[error("unexpected end")]
    UnexpectedEnd,
    #[error("unescaped control character in a string")]
    ControlCharacter,
    #[error("invalid escape in a string")]
    InvalidEscape,
    #[error("invalid number")]
    InvalidNumber,
    #[error("more than {DEPTH_MAX} levels of nesting")]
    TooDeep,
    #[error("unexpected text after the object")]
    TrailingBytes,
}

/// A `\u` escape that is half of a surrogate pair, and so no character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("half of a surrogate pair")]
pub struct LoneSurrogate;

/// Passes each member of the object `document` to `each`, in order, and validates all of it.
///
/// A member is passed before what follows it is validated: the members count only once this has
/// returned `Ok`. Invalid UTF-8 is reported before any other error.
pub fn members<'a>(
    document: &'a [u8],
    mut each: impl FnMut(Member<'a>),
) -> Result<(), InvalidJson> {
    let text = simdutf8::compat::from_utf8(document).map_err(|error| InvalidJson {
        offset: error.valid_up_to(),
        reason: InvalidJsonReason::InvalidUtf8,
    })?;
    let mut scanner = Scanner::of(document);
    scanner.space();
    let offset = scanner.at;
    let outermost = scanner.start()?;
    if outermost != ValueKind::Object {
        return Err(InvalidJson { offset, reason: InvalidJsonReason::NotAnObject(outermost) });
    }
    let mut first = true;
    loop {
        scanner.space();
        if scanner.peek() == Some(b'}') {
            scanner.at += 1;
            break;
        }
        if !first {
            scanner.expect(b',')?;
            scanner.space();
        }
        first = false;
        let start = scanner.at;
        let (key, key_is_escaped) = scanner.key()?;
        let value = scanner.at;
        let kind = scanner.value()?;
        each(Member {
            key: text.get(key).unwrap_or_default(),
            span: start..scanner.at,
            value: value..scanner.at,
            kind,
            key_is_escaped,
        });
    }
    scanner.space();
    if scanner.at == document.len() {
        Ok(())
    } else {
        scanner.fail(InvalidJsonReason::TrailingBytes)
    }
}

/// Finds the spans that, removed from an object, leave it without some of its members: each with
/// one of the commas beside it. They come in order and do not overlap.
#[derive(Debug, Default)]
pub struct MemberRemoval {
    /// As long as no member is kept, there is no comma before those to remove: they go with
    /// everything up to the next member.
    leading: Option<Range<usize>>,
    kept_end: Option<usize>,
}

impl MemberRemoval {
    /// Visits the next member; returns the span that this completes.
    pub fn visit(&mut self, member: &Member<'_>, is_removed: bool) -> Option<Range<usize>> {
        let Member { span, .. } = member;
        let leading = self.leading.take().map(|removed| removed.start..span.start);
        match self.kept_end {
            None if is_removed => self.leading = Some(span.clone()),
            Some(end) if is_removed => {
                self.kept_end = Some(span.end);
                return Some(end..span.end);
            }
            None | Some(_) => self.kept_end = Some(span.end),
        }
        leading
    }

    /// The last span, once all members were visited.
    pub fn finish(self) -> Option<Range<usize>> {
        self.leading
    }
}

/// Decodes a string; `written` is the text between its quotes in a document that [`members`]
/// accepted. Half of a surrogate pair is an error, for there is no such character.
pub fn unescaped(written: &str) -> Result<Cow<'_, str>, LoneSurrogate> {
    if !written.contains('\\') {
        return Ok(Cow::Borrowed(written));
    }
    serde_json::from_str(&format!("\"{written}\"")).map(Cow::Owned).or(Err(LoneSurrogate))
}

mod scanner;
#[cfg(test)]
mod tests;
