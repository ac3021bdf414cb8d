//! The usage of a reply that is one JSON document.
//!
//! The document may be megabytes of embeddings or a picture, and comes in pieces; it is not
//! held. A scanner walks over it and knows three things: how deep it is, whether it is in a
//! string, and, in the outermost object, which member it is in. It keeps the value of `usage`.
//! It does not check the document; an upstream that writes nonsense harms only the count.

use super::counts::Counts;
use super::{Shape, Usage};

/// The longest value of `usage` that is kept. It is a few hundred bytes.
pub(super) const USAGE_BYTES_MAX: usize = 16 * 1024;

/// Reads the usage of a reply from its bytes as they pass.
#[derive(Debug)]
pub struct ReplyReader {
    shape: Shape,
    place: Place,
    /// Objects and arrays that are open.
    depth: u64,
    /// The value of `usage`, as far as it has come.
    value: Vec<u8>,
}

/// Where in the document the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the outermost object.
    Before,
    /// In the outermost object, before a key.
    BeforeKey,
    /// In a key of the outermost object; how many bytes of it are those of [`KEY`], if all are.
    Key { matched: Option<usize>, escaped: bool },
    /// In the value of a member, or in front of it.
    Value { captured: bool },
    /// In a string there.
    Text { captured: bool, escaped: bool },
    /// There is nothing more to find.
    After,
}

const KEY: &[u8] = b"usage";

impl ReplyReader {
    /// A reader for one reply, which must not be compressed.
    pub fn new(shape: Shape) -> Self {
        let place = if shape == Shape::None { Place::After } else { Place::Before };
        Self { shape, place, depth: 0, value: Vec::new() }
    }

    /// Looks at the next piece of the reply.
    pub fn push(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while !rest.is_empty() && self.place != Place::After {
            let walked = match self.place {
                Place::Value { captured } => self.value(rest, captured),
                Place::Text { captured, escaped } => self.text(rest, captured, escaped),
                Place::Before | Place::BeforeKey | Place::Key { .. } | Place::After => {
                    self.step(rest.first().copied().unwrap_or_default());
                    1
                }
            };
            rest = rest.get(walked..).unwrap_or_default();
        }
    }

    /// What the reply cost; `None` if it did not say, or was cut off before it did.
    pub fn finish(self) -> Option<Usage> {
        Counts::read(&self.value).map(|counts| counts.usage(self.shape, 0))
    }

    /// A byte between the members of the outermost object, or of a key.
    fn step(&mut self, byte: u8) {
        self.place = match (self.place, byte) {
            (Place::Before, b' ' | b'\n' | b'\r' | b'\t') => Place::Before,
            (Place::Before, b'{') => {
                self.depth = 1;
                Place::BeforeKey
            }
            (Place::BeforeKey, b'"') => Place::Key { matched: Some(0), escaped: false },
            (Place::Before, _) | (Place::BeforeKey, b'}') => Place::After,
            (Place::Key { matched, escaped: true }, _) => Place::Key { matched, escaped: false },
            // Nobody writes `usage` with escapes.
            (Place::Key { .. }, b'\\') => Place::Key { matched: None, escaped: true },
            (Place::Key { matched, .. }, b'"') => {
                let captured = matched == Some(KEY.len());
                if captured {
                    // Of two members with one key, parsers take the last.
                    self.value.clear();
                }
                Place::Value { captured }
            }
            (Place::Key { matched, .. }, _) => {
                let matched = matched.filter(|at| KEY.get(*at) == Some(&byte)).map(|at| at + 1);
                Place::Key { matched, escaped: false }
            }
            (place, _) => place,
        };
    }

    /// Walks over a value up to where a string begins or the member ends; how far.
    fn value(&mut self, bytes: &[u8], captured: bool) -> usize {
        let mut at = 0;
        while let Some(found) = bytes.get(at..).and_then(|rest| structural(rest, self.depth == 1)) {
            let end = at + found;
            at = end + 1;
            match bytes.get(end) {
                Some(b'"') => self.place = Place::Text { captured, escaped: false },
                Some(b'{' | b'[') => {
                    self.depth += 1;
                    continue;
                }
                Some(b'}' | b']') if self.depth > 1 => {
                    self.depth -= 1;
                    continue;
                }
                Some(b'}') => self.place = Place::After,
                Some(b',') if self.depth == 1 => self.place = Place::BeforeKey,
                _ => continue,
            }
            // The quote is part of the value; what ends the member is not.
            let kept = if matches!(self.place, Place::Text { .. }) { at } else { end };
            self.capture(bytes.get(..kept), captured);
            return at;
        }
        self.capture(Some(bytes), captured);
        bytes.len()
    }

    /// Walks over a string up to behind its closing quote; how far.
    fn text(&mut self, bytes: &[u8], captured: bool, escaped: bool) -> usize {
        let mut at = usize::from(escaped);
        self.place = Place::Text { captured, escaped: false };
        while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
        {
            at += found + 1;
            if bytes.get(at - 1) == Some(&b'"') {
                self.place = Place::Value { captured };
                break;
            }
            if at == bytes.len() {
                self.place = Place::Text { captured, escaped: true };
                break;
            }
            at += 1;
        }
        let inside = matches!(self.place, Place::Text { .. });
        let walked = if inside { bytes.len() } else { at };
        self.capture(bytes.get(..walked), captured);
        walked
    }

    fn capture(&mut self, bytes: Option<&[u8]>, captured: bool) {
        if !captured {
            return;
        }
        let bytes = bytes.unwrap_or_default();
        // The colon in front of the value.
        let bytes = if self.value.is_empty() { value_start(bytes) } else { bytes };
        if self.value.len() + bytes.len() > USAGE_BYTES_MAX {
            self.value = Vec::new();
            self.place = Place::After;
            return;
        }
        self.value.extend_from_slice(bytes);
    }
}

fn value_start(bytes: &[u8]) -> &[u8] {
    let space = |byte: &u8| matches!(byte, b':' | b' ' | b'\n' | b'\r' | b'\t');
    let start = bytes.iter().position(|byte| !space(byte)).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

/// Where the next quote or bracket is, or comma if those count. Eight bytes at a time: lists of
/// a thousand numbers have none of them.
#[inline]
fn structural(bytes: &[u8], commas: bool) -> Option<usize> {
    let counts = |b: &u8| match b {
        b'"' | b'{' | b'}' | b'[' | b']' => true,
        b',' => commas,
        _ => false,
    };
    if commas {
        return bytes.iter().position(counts);
    }
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        if may_be_structural(u64::from_le_bytes(*word))
            && let Some(at) = word.iter().position(counts)
        {
            return Some(index * 8 + at);
        }
    }
    rest.iter().position(counts).map(|at| words.len() * 8 + at)
}

/// Whether any byte is a quote or a bracket; now and then also when none is. The four brackets
/// become 0x7F when the bits in which they differ are set, and few other bytes do. Then it is
/// the classic test for a zero byte.
#[inline]
fn may_be_structural(word: u64) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero(word ^ (ONES * 0x22));
    let bracket = zero((word | (ONES * 0x26)) ^ (ONES * 0x7F));
    (quote | bracket) & HIGH != 0
}

#[cfg(test)]
mod tests;
