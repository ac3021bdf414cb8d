//! Where the events of a stream begin and end, and what they say.
//!
//! After the HTML standard, section "Server-sent events": an event ends in a blank line, a line
//! ends in LF, CR LF or CR, and one stream may use all three.

use std::borrow::Cow;
use std::ops::Range;

/// The longest event that is held back or read. What is longer passes unread.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// Finds the ends of events in bytes that come in any pieces. It keeps no bytes, so it cannot
/// be made to hold many, and where the pieces break does not change what it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cutter(At);

/// Where in a line we are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// At the beginning, behind LF.
    #[default]
    AfterLf,
    /// At the beginning, behind CR: LF may follow, and would belong to the line before.
    AfterCr,
    /// Inside.
    Line,
    /// Behind a CR that is a blank line in a stream whose lines end in LF or CR LF: the LF that
    /// is still to come belongs to the event, and the client may be waiting for it.
    BlankCr,
}

impl Cutter {
    /// Cuts the rest of an event off the front of `bytes`, its blank line included. `None` if
    /// the event goes on behind `bytes`; then they have been looked at and are to be put aside.
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
                (At::Line, _) => {
                    at += memchr::memchr2(b'\n', b'\r', bytes.get(at..)?)?;
                    let feed = bytes.get(at) == Some(&b'\n');
                    (if feed { At::AfterLf } else { At::AfterCr }, false)
                }
                (At::AfterLf | At::BlankCr, b'\n') => (At::AfterLf, true),
                (At::AfterLf, b'\r') => (At::BlankCr, false),
                (At::AfterCr, b'\n') => (At::AfterLf, false),
                (At::AfterCr, b'\r') => (At::AfterCr, true),
                (At::AfterLf | At::AfterCr, _) => (At::Line, false),
                (At::BlankCr, _) => {
                    // The byte is the first of the next event.
                    self.0 = At::AfterLf;
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

/// What an event says, as far as it concerns us.
#[derive(Debug)]
pub(super) struct Event<'a> {
    /// Its `event:` field.
    pub(super) name: Option<&'a [u8]>,
    /// Its `data:` fields.
    pub(super) data: Data<'a>,
}

/// The data of an event, and where it stands in it.
#[derive(Debug)]
pub(super) struct Data<'a> {
    /// All lines, with LF between them.
    pub(super) text: Cow<'a, [u8]>,
    /// Where the first line stands in the event.
    first: usize,
    /// Where each line begins, in `text` and in the event; empty if there is just one.
    lines: Vec<(usize, usize)>,
}

impl<'a> Event<'a> {
    /// Reads the lines of an event. `None` if there is no data: comments and heartbeats.
    pub(super) fn read(event: &'a [u8]) -> Option<Self> {
        let mut name = None;
        let mut data: Option<Data<'a>> = None;
        let mut start = 0;
        while let Some(rest) = event.get(start..).filter(|rest| !rest.is_empty()) {
            let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let line = rest.get(..length).unwrap_or_default();
            if let Some(value) = field(line, b"data") {
                let at = start + length - value.len();
                match &mut data {
                    None => data = Some(Data { text: value.into(), first: at, lines: Vec::new() }),
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

impl<'a> Data<'a> {
    fn add(&mut self, line: &'a [u8], at: usize) {
        if self.lines.is_empty() {
            self.lines.push((0, self.first));
        }
        let text = self.text.to_mut();
        text.push(b'\n');
        self.lines.push((text.len(), at));
        text.extend_from_slice(line);
    }

    /// Where in the event a part of `text` stands, with all that is in between.
    pub(super) fn in_event(&self, part: Range<usize>) -> Range<usize> {
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
