//! As much HTTP/1.1 as a benchmark needs: heads, lengths and chunks.
//!
//! Hand-written so that neither the mock upstream nor the load is what limits a
//! proxy that needs 25 microseconds for a request. Not for use on a network:
//! it trusts both sides of a loopback connection.

use memchr::{memchr, memmem};

/// A head longer than this is refused.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Digits of a chunk size we accept: 16 hexadecimal digits fill a `u64`.
const CHUNK_SIZE_DIGITS_MAX: u8 = 16;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// What is wrong with a message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("a head is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    #[error("a content length is not a number")]
    ContentLength,
    #[error("a chunk does not follow the format")]
    Chunk,
    #[error("an answer has neither a length nor chunks")]
    Unframed,
}

/// How the body of a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The head names neither a length nor chunks.
    Unnamed,
    /// After this many bytes.
    Length(usize),
    /// With an empty chunk.
    Chunked,
}

/// The head of a request or an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// The request line or status line.
    pub(crate) start: &'a [u8],
    pub(crate) framing: Framing,
    /// The sender closes the connection after this message.
    pub(crate) closes: bool,
    /// Length of the head, the empty line included.
    pub(crate) bytes: usize,
}

impl<'a> Head<'a> {
    /// Reads the head at the start of `bytes`; `None` when it is not all there.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Option<Self>, WireError> {
        let Some(end) = memmem::find(bytes, HEAD_END) else {
            return if bytes.len() > HEAD_BYTES_MAX {
                Err(WireError::HeadTooLong)
            } else {
                Ok(None)
            };
        };
        let (text, _) = bytes.split_at(end);
        let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let start = lines.next().unwrap_or_default();
        let mut framing = Framing::Unnamed;
        let mut closes = false;
        for line in lines {
            let Some(colon) = memchr(b':', line) else { continue };
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            if name.eq_ignore_ascii_case(b"content-length") {
                framing = Framing::Length(number(value).ok_or(WireError::ContentLength)?);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                framing = Framing::Chunked;
            } else if name.eq_ignore_ascii_case(b"connection") {
                closes = value.eq_ignore_ascii_case(b"close");
            }
        }
        Ok(Some(Self { start, framing, closes, bytes: end.saturating_add(HEAD_END.len()) }))
    }

    /// The status of an answer; 0 when the line holds none.
    pub(crate) fn status(&self) -> u16 {
        let word = self.start.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        number(word).and_then(|status| u16::try_from(status).ok()).unwrap_or_default()
    }
}

/// The decimal number that `text` is.
pub(crate) fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The decimal number that follows `label` in `text`.
pub(crate) fn number_after(text: &[u8], label: &[u8]) -> Option<u64> {
    let at = memmem::find(text, label)?.checked_add(label.len())?;
    let digits = text.get(at..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

/// Takes chunks apart, as they come.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    state: ChunkState,
}

#[derive(Debug)]
enum ChunkState {
    Size { bytes: usize, digits: u8 },
    Extension { bytes: usize },
    Data { left: usize },
    DataEnd,
    Trailer { line_bytes: usize },
    Done,
}

impl Default for ChunkState {
    fn default() -> Self {
        Self::Size { bytes: 0, digits: 0 }
    }
}

impl Chunks {
    /// Whether the empty chunk and its trailer were seen.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, ChunkState::Done)
    }

    /// Appends to `payload` what `input` carries and returns how much of `input` was used.
    pub(crate) fn decode(
        &mut self,
        input: &[u8],
        payload: &mut Vec<u8>,
    ) -> Result<usize, WireError> {
        let mut rest = input;
        while let [byte, after @ ..] = rest {
            if let ChunkState::Data { left } = &mut self.state {
                let (data, behind) = rest.split_at(rest.len().min(*left));
                payload.extend_from_slice(data);
                *left = left.saturating_sub(data.len());
                if *left == 0 {
                    self.state = ChunkState::DataEnd;
                }
                rest = behind;
                continue;
            }
            if self.is_done() {
                break;
            }
            self.step(*byte)?;
            rest = after;
        }
        Ok(input.len().saturating_sub(rest.len()))
    }

    /// Reads one byte outside the data.
    fn step(&mut self, byte: u8) -> Result<(), WireError> {
        self.state = match (&self.state, byte) {
            (ChunkState::Size { digits: 0, .. } | ChunkState::DataEnd, b'\r') => return Ok(()),
            (ChunkState::DataEnd, b'\n') => ChunkState::default(),
            (ChunkState::Size { bytes, .. }, b'\r' | b';') => {
                ChunkState::Extension { bytes: *bytes }
            }
            (ChunkState::Size { bytes, digits }, digit) if *digits < CHUNK_SIZE_DIGITS_MAX => {
                let value = char::from(digit).to_digit(16).ok_or(WireError::Chunk)?;
                let value = usize::try_from(value).unwrap_or_default();
                let bytes = bytes.checked_mul(16).ok_or(WireError::Chunk)?.saturating_add(value);
                ChunkState::Size { bytes, digits: digits.saturating_add(1) }
            }
            (ChunkState::Extension { bytes: 0 }, b'\n') => ChunkState::Trailer { line_bytes: 0 },
            (ChunkState::Extension { bytes }, b'\n') => ChunkState::Data { left: *bytes },
            (ChunkState::Extension { .. }, _) | (ChunkState::Trailer { .. }, b'\r') => {
                return Ok(());
            }
            (ChunkState::Trailer { line_bytes: 0 }, b'\n') => ChunkState::Done,
            (ChunkState::Trailer { .. }, b'\n') => ChunkState::Trailer { line_bytes: 0 },
            (ChunkState::Trailer { line_bytes }, _) => {
                ChunkState::Trailer { line_bytes: line_bytes.saturating_add(1) }
            }
            (
                ChunkState::Size { .. }
                | ChunkState::DataEnd
                | ChunkState::Data { .. }
                | ChunkState::Done,
                _,
            ) => return Err(WireError::Chunk),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunks, Framing, Head, WireError, number_after};

    #[test]
    fn half_a_head_is_not_a_head_yet() {
        assert_eq!(Head::parse(b"HTTP/1.1 200 OK\r\nContent-Le"), Ok(None));
    }

    #[test]
    fn a_head_names_its_status_its_length_and_whether_it_closes() {
        let bytes = b"HTTP/1.1 429 No\r\ncontent-LENGTH: 12\r\nConnection: close\r\n\r\nbody";
        let head = Head::parse(bytes).unwrap().unwrap();
        assert_eq!(head.status(), 429);
        assert_eq!(head.framing, Framing::Length(12));
        assert!(head.closes);
        assert_eq!(&bytes[head.bytes..], b"body");
    }

    #[test]
    fn a_length_that_is_not_a_number_is_an_error() {
        let head = Head::parse(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n");
        assert_eq!(head, Err(WireError::ContentLength));
    }

    #[test]
    fn chunks_may_be_cut_anywhere() {
        let input = b"5\r\nhello\r\nB;name=x\r\n, the world\r\n0\r\nx: y\r\n\r\nnext";
        for cut in 0..input.len() - 4 {
            let (mut chunks, mut payload) = (Chunks::default(), Vec::new());
            let first = chunks.decode(&input[..cut], &mut payload).unwrap();
            assert_eq!(first, cut);
            let second = chunks.decode(&input[cut..], &mut payload).unwrap();
            assert_eq!(payload, b"hello, the world");
            assert!(chunks.is_done());
            assert_eq!(&input[cut + second..], b"next");
        }
    }

    #[test]
    fn what_is_not_a_chunk_is_an_error() {
        let result = Chunks::default().decode(b"xyz\r\n", &mut Vec::new());
        assert_eq!(result, Err(WireError::Chunk));
    }

    #[test]
    fn a_number_is_found_behind_its_label() {
        assert_eq!(number_after(br#""events=20 pause_us=5000""#, b"pause_us="), Some(5000));
        assert_eq!(number_after(b"events=", b"events="), None);
    }
}
