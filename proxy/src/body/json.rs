//! One pass over a JSON object: checks all of it, and says where its members are.
//!
//! The gateway decides on a few members of bodies that may be megabytes long, and forwards
//! the bytes as they came. So nothing is built here: the scanner walks the text once, checks
//! it against RFC 8259, and hands out spans. It does not recurse, because how deep a document
//! nests is the sender's choice and a stack overflow cannot be caught.
//!
//! It is stricter than the parsers behind us in nothing but depth, and never more lenient: what
//! it accepts, Python's `json` and `serde_json` read the same way. Two things are legal by the
//! grammar and yet refused by `serde_json::Value`, and we accept them: a `\u` escape that is half
//! of a surrogate pair (JavaScript sends it when a text was cut inside an emoji), and a number
//! too large for a double. Neither is decoded unless somebody asks for that text.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use scanner::Scanner;

/// How many objects and arrays may be open at once, the outermost included. Python's parser,
/// which most upstreams use, gives up near 1,000.
pub const DEPTH_MAX: usize = 512;

/// A member of the outermost object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The key as it is written, without its quotes and with its escapes.
    pub key: &'a str,
    /// From the key's opening quote to the end of the value.
    pub span: Range<usize>,
    /// The value, with the quotes of a string.
    pub value: Range<usize>,
    /// What the value is.
    pub kind: Kind,
    key_is_escaped: bool,
}

impl Member<'_> {
    /// Whether the key is `name`, however it is spelled: `"mod\u0065l"` is `model`.
    pub fn key_is(&self, name: &str) -> bool {
        match self.key_escapes(name) {
            None => self.key == name,
            Some(key) => key.eq(name.chars().map(Ok)),
        }
    }

    /// Whether the key is `name` to a parser that does not tell `A` from `a`, as Go's does not.
    pub fn key_is_ignoring_case(&self, name: &str) -> bool {
        let lower = |c: char| c.to_ascii_lowercase();
        match self.key_escapes(name) {
            None => self.key.eq_ignore_ascii_case(name),
            Some(key) => key.map(|c| c.map(lower)).eq(name.chars().map(lower).map(Ok)),
        }
    }

    /// The key's characters, if it takes reading escapes to compare it with `name`: an escape is
    /// always longer than what it stands for.
    fn key_escapes(&self, name: &str) -> Option<Unescaped<'_>> {
        let may_be = self.key_is_escaped && self.key.len() > name.len();
        may_be.then(|| Unescaped::of(self.key))
    }
}

/// The six kinds of JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `"text"`
    String,
    /// `-1.5e3`
    Number,
    /// `true` or `false`
    Bool(bool),
    /// `null`
    Null,
    /// `[..]`
    Array,
    /// `{..}`
    Object,
}

impl fmt::Display for Kind {
    /// With its article, as it stands in a sentence.
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

/// Why a document is not one JSON object, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct InvalidJson {
    /// The first byte that cannot be right, counted from 0.
    pub offset: usize,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Bytes that are not UTF-8.
    #[error("invalid UTF-8")]
    InvalidUtf8,
    /// A value, but not `{..}`.
    #[error("a JSON object is expected, not {0},")]
    NotAnObject(Kind),
    /// Nothing that may stand here.
    #[error("unexpected character")]
    UnexpectedByte,
    /// The document stops before its object does.
    #[error("unexpected end")]
    UnexpectedEnd,
    /// A byte below 0x20 inside a string, which has to be escaped.
    #[error("unescaped control character in a string")]
    ControlCharacter,
    /// A backslash with nothing known behind it.
    #[error("invalid escape in a string")]
    InvalidEscape,
    /// `01`, `1.`, `-`, `1e`.
    #[error("invalid number")]
    InvalidNumber,
    /// More than [`DEPTH_MAX`] open at once.
    #[error("more than {DEPTH_MAX} levels of nesting")]
    TooDeep,
    /// Something other than white space behind the object.
    #[error("unexpected text after the object")]
    TrailingBytes,
}

/// A `\u` escape that is half of a surrogate pair, and so no character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("half of a surrogate pair")]
pub struct LoneSurrogate;

/// Hands each member of the object `document` to `each`, in order, and checks all of it.
///
/// A member is handed out before what follows it is checked, so believe them only once this
/// has returned `Ok`.
///
/// # Errors
/// What is wrong first, unless the bytes are not UTF-8, which is looked at before all else.
pub fn members<'a>(
    document: &'a [u8],
    mut each: impl FnMut(Member<'a>),
) -> Result<(), InvalidJson> {
    let text = simdutf8::compat::from_utf8(document).map_err(|error| InvalidJson {
        offset: error.valid_up_to(),
        reason: Reason::InvalidUtf8,
    })?;
    let mut scanner = Scanner::of(document);
    scanner.space();
    let offset = scanner.at;
    let outermost = scanner.start()?;
    if outermost != Kind::Object {
        return Err(InvalidJson { offset, reason: Reason::NotAnObject(outermost) });
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
    if scanner.at == document.len() { Ok(()) } else { scanner.fail(Reason::TrailingBytes) }
}

/// Hands the spans to `cut` that, taken out of `document`, leave the same object without any
/// member called `key`: each member with one of the commas beside it. They come in order and do
/// not overlap. No allocation: the stream of an answer asks this of every event.
///
/// # Errors
/// As [`members`]; what was handed out until then is worth nothing.
pub fn removals(
    document: &[u8],
    key: &str,
    mut cut: impl FnMut(Range<usize>),
) -> Result<(), InvalidJson> {
    // A member takes the comma in front of it along, but as long as nothing is kept there is
    // none: then it goes up to where the next one begins.
    let mut leading: Option<Range<usize>> = None;
    let mut kept_end: Option<usize> = None;
    members(document, |member| {
        if let Some(removed) = leading.take() {
            cut(removed.start..member.span.start);
        }
        let named = member.key_is(key);
        match kept_end {
            None if named => leading = Some(member.span),
            None => kept_end = Some(member.span.end),
            Some(end) => {
                if named {
                    cut(end..member.span.end);
                }
                kept_end = Some(member.span.end);
            }
        }
    })?;
    if let Some(removed) = leading {
        cut(removed);
    }
    Ok(())
}

/// What a string says. `written` is what stands between its quotes in a document that
/// [`members`] accepted.
///
/// # Errors
/// If it holds half of a surrogate pair, for which there is no character.
pub fn unescaped(written: &str) -> Result<Cow<'_, str>, LoneSurrogate> {
    if !written.contains('\\') {
        return Ok(Cow::Borrowed(written));
    }
    Unescaped::of(written).collect::<Result<String, _>>().map(Cow::Owned)
}

/// The characters of a string whose escapes are known to be well-formed.
struct Unescaped<'a>(std::str::Chars<'a>);

impl<'a> Unescaped<'a> {
    fn of(written: &'a str) -> Self {
        Self(written.chars())
    }

    fn unit(&mut self) -> Option<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit * 16 + self.0.next()?.to_digit(16)?;
        }
        Some(unit)
    }

    /// A character from one `\u` escape, or from the pair that begins with it.
    fn character(&mut self) -> Option<char> {
        let first = self.unit()?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first);
        }
        let paired = self.0.next()? == '\\' && self.0.next()? == 'u';
        let second = self.unit().filter(|unit| paired && (0xDC00..0xE000).contains(unit))?;
        char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
    }
}

impl Iterator for Unescaped<'_> {
    type Item = Result<char, LoneSurrogate>;

    fn next(&mut self) -> Option<Self::Item> {
        let plain = match self.0.next()? {
            '\\' => match self.0.next()? {
                'u' => return Some(self.character().ok_or(LoneSurrogate)),
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => other,
            },
            other => other,
        };
        Some(Ok(plain))
    }
}

mod scanner;
#[cfg(test)]
mod tests;
