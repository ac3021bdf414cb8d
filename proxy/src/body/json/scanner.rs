//! Walks JSON text one value at a time, validating it against RFC 8259.

use std::ops::Range;

use super::{DEPTH_MAX, InvalidJson, InvalidJsonReason, ValueKind};

pub(super) struct Scanner<'a> {
    text: &'a [u8],
    pub(super) at: usize,
    open: Open,
}

impl<'a> Scanner<'a> {
    pub(super) fn of(text: &'a [u8]) -> Self {
        Self { text, at: 0, open: Open::default() }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn fail<T>(&self, reason: InvalidJsonReason) -> Result<T, InvalidJson> {
        let reason =
            if self.at < self.text.len() { reason } else { InvalidJsonReason::UnexpectedEnd };
        Err(InvalidJson { offset: self.at, reason })
    }

    #[inline]
    pub(super) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), InvalidJson> {
        if self.peek() != Some(byte) {
            return self.fail(InvalidJsonReason::UnexpectedByte);
        }
        self.at += 1;
        Ok(())
    }

    /// A key with its colon, up to the value; as [`Self::string`].
    pub(super) fn key(&mut self) -> Result<(Range<usize>, bool), InvalidJson> {
        let key = self.string()?;
        self.space();
        self.expect(b':')?;
        self.space();
        Ok(key)
    }

    /// A whole value.
    pub(super) fn value(&mut self) -> Result<ValueKind, InvalidJson> {
        let outside = self.open.depth;
        let kind = self.start()?;
        let mut first = true;
        while self.open.depth > outside {
            let in_object = self.open.innermost_is_brace();
            self.space();
            if self.peek() == Some(if in_object { b'}' } else { b']' }) {
                self.at += 1;
                self.open.depth -= 1;
                first = false;
                continue;
            }
            if !first {
                self.expect(b',')?;
                self.space();
            }
            if in_object {
                self.key()?;
            }
            let before = self.open.depth;
            self.start()?;
            first = self.open.depth > before;
        }
        Ok(kind)
    }

    /// A scalar, or an opening bracket.
    pub(super) fn start(&mut self) -> Result<ValueKind, InvalidJson> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ValueKind::String),
            Some(b'{') => self.bracket(true).map(|()| ValueKind::Object),
            Some(b'[') => self.bracket(false).map(|()| ValueKind::Array),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| ValueKind::Number),
            Some(b't') => self.word(b"true").map(|()| ValueKind::Bool(true)),
            Some(b'f') => self.word(b"false").map(|()| ValueKind::Bool(false)),
            Some(b'n') => self.word(b"null").map(|()| ValueKind::Null),
            _ => self.fail(InvalidJsonReason::UnexpectedByte),
        }
    }

    fn bracket(&mut self, brace: bool) -> Result<(), InvalidJson> {
        if self.open.push(brace).is_none() {
            return self.fail(InvalidJsonReason::TooDeep);
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), InvalidJson> {
        word.iter().try_for_each(|byte| self.expect(*byte))
    }

    fn number(&mut self) -> Result<(), InvalidJson> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if matches!(self.peek(), Some(b'0'..=b'9')) {
                return self.fail(InvalidJsonReason::InvalidNumber);
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), InvalidJson> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { self.fail(InvalidJsonReason::InvalidNumber) } else { Ok(()) }
    }

    /// A string: the range between its quotes, and whether it has escapes.
    fn string(&mut self) -> Result<(Range<usize>, bool), InvalidJson> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = plain_until(self.text, self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok((start..self.at - 1, escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return self.fail(InvalidJsonReason::ControlCharacter),
            }
        }
    }

    fn escape(&mut self) -> Result<(), InvalidJson> {
        self.at += 1;
        let hex_digits = match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
            Some(b'u') => 4,
            _ => return self.fail(InvalidJsonReason::InvalidEscape),
        };
        self.at += 1;
        for _ in 0..hex_digits {
            if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                return self.fail(InvalidJsonReason::InvalidEscape);
            }
            self.at += 1;
        }
        Ok(())
    }
}

/// The open brackets, a bit each for whether it is a brace, so that depth costs no allocation.
#[derive(Default)]
struct Open {
    depth: usize,
    braces: [u64; DEPTH_MAX / 64],
}

impl Open {
    /// `None` beyond [`DEPTH_MAX`].
    fn push(&mut self, brace: bool) -> Option<()> {
        let word = self.braces.get_mut(self.depth / 64)?;
        let bit = 1 << (self.depth % 64);
        *word = if brace { *word | bit } else { *word & !bit };
        self.depth += 1;
        Some(())
    }

    fn innermost_is_brace(&self) -> bool {
        let innermost = self.depth.saturating_sub(1);
        self.braces.get(innermost / 64).is_some_and(|word| word >> (innermost % 64) & 1 == 1)
    }
}

/// The offset of the next quote, backslash or control character, or of the end of the text.
#[inline]
fn plain_until(text: &[u8], mut at: usize) -> usize {
    while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}

/// Sets the high bit of the first byte in `word` that ends a run of plain text, and perhaps of
/// later ones: the classic test for a zero byte, where a borrow only spoils bytes above a match.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero(word ^ (ONES * u64::from(b'"')));
    let backslash = zero(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGH
}
