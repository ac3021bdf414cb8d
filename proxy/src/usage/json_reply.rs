//! Reads the usage of a reply that is one JSON document.
//!
//! The document may be megabytes of embeddings or a picture, and comes in chunks; it is not
//! buffered. A scanner tracks the depth, whether it is in a string, and, in the outermost object,
//! the member. It keeps the value of `usage`. It does not validate the document: an upstream that
//! sends invalid JSON spoils only its count.

use super::UsageFormat;
use super::token_counts::{TokenCounts, TokenUsage};

/// The longest value of `usage` that is kept; usual are a few hundred bytes.
pub(super) const USAGE_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug)]
pub struct JsonUsageReader {
    usage_format: UsageFormat,
    state: State,
    /// Open objects and arrays.
    depth: u64,
    /// The value of `usage`, so far.
    value: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    BeforeObject,
    /// In the outermost object, before a key.
    BeforeKey,
    /// In a key of the outermost object; `matched` bytes of it are those of [`KEY`], if all are.
    Key {
        matched: Option<usize>,
        escaped: bool,
    },
    /// In the value of a member, or before it.
    Value {
        captured: bool,
    },
    /// In a string of that value.
    Text {
        captured: bool,
        escaped: bool,
    },
    /// The rest cannot matter.
    Done,
}

const KEY: &[u8] = b"usage";

impl JsonUsageReader {
    /// A reader for one reply, which must not be compressed.
    pub fn new(usage_format: UsageFormat) -> Self {
        let state =
            if usage_format == UsageFormat::None { State::Done } else { State::BeforeObject };
        Self { usage_format, state, depth: 0, value: Vec::new() }
    }

    pub fn push(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while !rest.is_empty() && self.state != State::Done {
            let walked = match self.state {
                State::Value { captured } => self.value(rest, captured),
                State::Text { captured, escaped } => self.text(rest, captured, escaped),
                State::BeforeObject | State::BeforeKey | State::Key { .. } | State::Done => {
                    self.step(rest.first().copied().unwrap_or_default());
                    1
                }
            };
            rest = rest.get(walked..).unwrap_or_default();
        }
    }

    /// `None` if the reply did not report usage, or was cut off before it did.
    pub fn finish(self) -> Option<TokenUsage> {
        TokenCounts::parse(&self.value).map(|counts| counts.usage(self.usage_format, 0))
    }

    /// Handles a byte between the members of the outermost object, or of a key.
    fn step(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (State::BeforeObject, b' ' | b'\n' | b'\r' | b'\t') => State::BeforeObject,
            (State::BeforeObject, b'{') => {
                self.depth = 1;
                State::BeforeKey
            }
            (State::BeforeKey, b'"') => State::Key { matched: Some(0), escaped: false },
            (State::BeforeObject, _) | (State::BeforeKey, b'}') => State::Done,
            (State::Key { matched, escaped: true }, _) => State::Key { matched, escaped: false },
            // Upstreams write `usage` without escapes.
            (State::Key { .. }, b'\\') => State::Key { matched: None, escaped: true },
            (State::Key { matched, .. }, b'"') => {
                let captured = matched == Some(KEY.len());
                if captured {
                    // Of two members with one key, parsers take the last.
                    self.value.clear();
                }
                State::Value { captured }
            }
            (State::Key { matched, .. }, _) => {
                let matched = matched.filter(|at| KEY.get(*at) == Some(&byte)).map(|at| at + 1);
                State::Key { matched, escaped: false }
            }
            (state, _) => state,
        };
    }

    /// Scans a value up to a string or the end of the member; returns the bytes consumed.
    fn value(&mut self, bytes: &[u8], captured: bool) -> usize {
        let mut at = 0;
        while let Some(found) = bytes.get(at..).and_then(|rest| structural(rest, self.depth == 1)) {
            let end = at + found;
            at = end + 1;
            match bytes.get(end) {
                Some(b'"') => self.state = State::Text { captured, escaped: false },
                Some(b'{' | b'[') => {
                    self.depth += 1;
                    continue;
                }
                Some(b'}' | b']') if self.depth > 1 => {
                    self.depth -= 1;
                    continue;
                }
                Some(b'}') => self.state = State::Done,
                Some(b',') if self.depth == 1 => self.state = State::BeforeKey,
                _ => continue,
            }
            // The quote is part of the value; what ends the member is not.
            let kept = if matches!(self.state, State::Text { .. }) { at } else { end };
            self.capture(bytes.get(..kept), captured);
            return at;
        }
        self.capture(Some(bytes), captured);
        bytes.len()
    }

    /// Scans a string up to its closing quote; returns the bytes consumed.
    fn text(&mut self, bytes: &[u8], captured: bool, escaped: bool) -> usize {
        let mut at = usize::from(escaped);
        self.state = State::Text { captured, escaped: false };
        while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
        {
            at += found + 1;
            if bytes.get(at - 1) == Some(&b'"') {
                self.state = State::Value { captured };
                break;
            }
            if at == bytes.len() {
                self.state = State::Text { captured, escaped: true };
                break;
            }
            at += 1;
        }
        let inside = matches!(self.state, State::Text { .. });
        let walked = if inside { bytes.len() } else { at };
        self.capture(bytes.get(..walked), captured);
        walked
    }

    fn capture(&mut self, bytes: Option<&[u8]>, captured: bool) {
        if !captured {
            return;
        }
        let bytes = bytes.unwrap_or_default();
        let bytes = if self.value.is_empty() { value_start(bytes) } else { bytes };
        if self.value.len() + bytes.len() > USAGE_BYTES_MAX {
            self.value = Vec::new();
            self.state = State::Done;
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

/// Finds the next quote or bracket, or comma if `commas`. Eight bytes at a time: lists of a
/// thousand numbers have none of them.
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

/// Whether any byte is a quote or a bracket, with rare false positives. The four brackets become
/// 0x7F when the bits in which they differ are set, and few other bytes do. The rest is the
/// classic test for a zero byte.
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
