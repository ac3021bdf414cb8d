//! Splits a stream of server-sent events, and parses their fields.
//!
//! After the HTML standard, section "Server-sent events": an event ends in a blank line, a line
//! ends in LF, CR LF or CR, and one stream may use all three.

use std::borrow::Cow;
use std::ops::Range;

/// The longest event that is buffered or parsed, in bytes. Longer ones pass unread.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// Finds the ends of events in a stream of chunks. It buffers nothing, and where the chunks break
/// does not change the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SseSplitter(LineState);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LineState {
    #[default]
    AfterLf,
    /// An LF may follow, and would belong to the line before.
    AfterCr,
    InLine,
    /// After a CR that is a blank line in a stream whose lines end in LF or CR LF: an LF that
    /// follows belongs to the event, and the client may be waiting for it.
    BlankCr,
}

impl SseSplitter {
    /// Takes the rest of an event off the front of `bytes`, its blank line included. `None` if
    /// the event continues after `bytes`, which the caller then buffers.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        let end = self.end(bytes)?;
        let (event, rest) = bytes.split_at_checked(end)?;
        *bytes = rest;
        Some(event)
    }

    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let (next, ends) = match (self.0, byte) {
                (LineState::InLine, _) => {
                    at += memchr::memchr2(b'\n', b'\r', bytes.get(at..)?)?;
                    let feed = bytes.get(at) == Some(&b'\n');
                    (if feed { LineState::AfterLf } else { LineState::AfterCr }, false)
                }
                (LineState::AfterLf | LineState::BlankCr, b'\n') => (LineState::AfterLf, true),
                (LineState::AfterLf, b'\r') => (LineState::BlankCr, false),
                (LineState::AfterCr, b'\n') => (LineState::AfterLf, false),
                (LineState::AfterCr, b'\r') => (LineState::AfterCr, true),
                (LineState::AfterLf | LineState::AfterCr, _) => (LineState::InLine, false),
                (LineState::BlankCr, _) => {
                    // The byte is the first of the next event.
                    self.0 = LineState::AfterLf;
                    return Some(at);
                }
            };
            self.0 = next;
            at += 1;
            if ends {
                return Some(at);
            }
        }
        None
    }
}

#[derive(Debug)]
pub(super) struct SseEvent<'a> {
    /// The `event:` field.
    pub(super) name: Option<&'a [u8]>,
    pub(super) data: EventData<'a>,
}

/// The `data:` fields of an event, and their place in it.
#[derive(Debug)]
pub(super) struct EventData<'a> {
    /// The lines, joined with LF.
    pub(super) text: Cow<'a, [u8]>,
    /// Offset of the first line in the event.
    first: usize,
    /// Offsets of each line, in `text` and in the event; empty if there is just one line.
    lines: Vec<(usize, usize)>,
}

impl<'a> SseEvent<'a> {
    /// `None` if there is no data: comments and heartbeats.
    pub(super) fn parse(event: &'a [u8]) -> Option<Self> {
        let mut name = None;
        let mut data: Option<EventData<'a>> = None;
        let mut start = 0;
        while let Some(rest) = event.get(start..).filter(|rest| !rest.is_empty()) {
            let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let line = rest.get(..length).unwrap_or_default();
            if let Some(value) = field(line, b"data") {
                let at = start + length - value.len();
                match &mut data {
                    None => {
                        data = Some(EventData { text: value.into(), first: at, lines: Vec::new() });
                    }
                    Some(data) => data.add(value, at),
                }
            } else if let Some(value) = field(line, b"event") {
                name = Some(value);
            }
            start += length + 1;
        }
        data.map(|data| Self { name, data })
    }
}

impl<'a> EventData<'a> {
    fn add(&mut self, line: &'a [u8], at: usize) {
        if self.lines.is_empty() {
            self.lines.push((0, self.first));
        }
        let text = self.text.to_mut();
        text.push(b'\n');
        self.lines.push((text.len(), at));
        text.extend_from_slice(line);
    }

    /// The range in the event of a range in `text`.
    pub(super) fn range_in_event(&self, part: Range<usize>) -> Range<usize> {
        self.offset(part.start)..self.offset(part.end)
    }

    fn offset(&self, at: usize) -> usize {
        let line = self.lines.partition_point(|(in_text, _)| *in_text <= at).checked_sub(1);
        let line = line.and_then(|line| self.lines.get(line));
        line.map_or(self.first + at, |(in_text, in_event)| in_event + (at - in_text))
    }
}

/// The value of a line if it is the field `name`.
#[inline]
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?;
    if value.is_empty() {
        return Some(value);
    }
    let value = value.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
pub(super) mod tests;
