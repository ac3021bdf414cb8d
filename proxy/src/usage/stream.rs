//! Watches one stream of events pass, and hides in it what the client did not ask for.
//!
//! An event goes on as soon as it is complete, byte for byte but for the usage that we asked for,
//! so that the client sees the stream it would have got. When a stream breaks, no half event is
//! left behind, which clients would fail to parse instead of reading the error that follows.

use std::ops::Range;

use bytes::Bytes;

use super::counts::Counts;
use super::event::Facts;
use super::failure::error_event;
use super::sse::{Cutter, EVENT_BYTES_MAX, Event};
use super::{Shape, Usage};
use crate::body::json::{Kind, removals};

/// What the client did not ask for, and must not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hide {
    /// Nothing: the stream is as the client ordered it.
    Nothing,
    /// We added `include_usage`: the event at the end that carries only usage, and the
    /// `"usage":null` that OpenAI then writes into all others.
    UsageChunk,
    /// We added `include_usage` and `continuous_usage_stats`: all usage.
    UsageEverywhere,
    /// We added `continuous_usage_stats`: all usage but in the event that carries nothing else.
    ContinuousOnly,
}

/// Reads the usage of a stream from its bytes as they pass.
#[derive(Debug)]
pub struct StreamReader {
    shape: Shape,
    hide: Hide,
    cutter: Cutter,
    /// The beginning of an event whose end has not come.
    held: Vec<u8>,
    /// Whether that event is longer than [`EVENT_BYTES_MAX`], and so passes unread.
    overlong: bool,
    /// Whether the body came to its end without the blank line of its last event.
    unterminated: bool,
    tally: Tally,
}

/// What the events told so far.
#[derive(Debug, Default)]
struct Tally {
    counts: Option<Counts>,
    /// Events that brought a piece of the answer since the upstream last told its count.
    unreported: u64,
    events: u64,
    saw_done: bool,
    failed: bool,
}

/// What is known when a stream has ended, however it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEnd {
    /// What it cost; `None` if nothing was told and no text came.
    pub usage: Option<Usage>,
    /// Whether the last event of the dialect came: `[DONE]`, `message_stop`,
    /// `response.completed`, `response.incomplete` or `response.failed`.
    pub saw_done: bool,
    /// Whether an event told of an error.
    pub failed: bool,
    /// Events with data.
    pub events: u64,
}

/// What to do with an event.
enum Verdict {
    Keep,
    Drop,
    /// Take these parts out.
    Cut(Vec<Range<usize>>),
}

impl StreamReader {
    /// A reader for one stream, which must not be compressed.
    pub fn new(shape: Shape, hide: Hide) -> Self {
        let cutter = Cutter::default();
        let tally = Tally::default();
        Self { shape, hide, cutter, held: Vec::new(), overlong: false, unterminated: false, tally }
    }

    /// Looks at the next piece of the stream; what to forward now, which may be nothing: an event
    /// goes on when it is whole, so that a stream which breaks never leaves half of one behind.
    pub fn push(&mut self, chunk: &Bytes) -> Bytes {
        let mut out = Output::of(chunk);
        let mut rest: &[u8] = chunk;
        while !rest.is_empty() {
            let start = chunk.len() - rest.len();
            let Some(part) = self.cutter.next(&mut rest) else {
                self.hold(rest, start, &mut out);
                break;
            };
            self.complete(part, start, &mut out);
        }
        out.into_bytes()
    }

    /// Takes what was held back when the body has come to its end: an event without its blank
    /// line. Not for a stream that broke: there half an event helps nobody.
    pub fn flush(&mut self) -> Bytes {
        let none = Bytes::new();
        let mut out = Output::of(&none);
        self.unterminated = self.overlong || !self.held.is_empty();
        if self.unterminated {
            self.complete(&[], 0, &mut out);
        }
        out.into_bytes()
    }

    /// Whether the client has got the beginning of an event and not its end.
    pub fn mid_event(&self) -> bool {
        self.overlong || self.unterminated
    }

    /// Whether the last event of the dialect has come, or one that tells of an error. A body
    /// that ends well without it was cut short by somebody in between, or by a server that died.
    pub fn is_over(&self) -> bool {
        let no_last_event = matches!(self.shape, Shape::Embeddings | Shape::None);
        no_last_event || self.tally.saw_done || self.tally.failed
    }

    /// What to send when the stream broke: the dialect's event for it. In the middle of an event
    /// that was too long to be held back it begins with the blank line that is missing.
    pub fn failure(&self, code: &str, message: &str) -> Bytes {
        let event = error_event(self.shape, code, message, self.tally.events);
        if !self.mid_event() {
            return event;
        }
        Bytes::from([b"\n\n".as_slice(), &event].concat())
    }

    /// What the stream cost and how it ended.
    pub fn finish(self) -> StreamEnd {
        let Tally { counts, unreported, events, saw_done, failed } = self.tally;
        let told = counts.is_some() || unreported > 0;
        let usage = told.then(|| counts.unwrap_or_default().usage(self.shape, unreported));
        StreamEnd { usage, saw_done, failed, events }
    }

    /// Puts aside the beginning of an event, or more of it; it stands at `start` of the chunk.
    fn hold(&mut self, part: &[u8], start: usize, out: &mut Output<'_>) {
        if !self.overlong && self.held.len() + part.len() > EVENT_BYTES_MAX {
            self.overlong = true;
            out.append(&std::mem::take(&mut self.held));
        }
        if self.overlong {
            out.keep(start..start + part.len());
        } else {
            self.held.extend_from_slice(part);
        }
    }

    /// The last part of an event has come; it stands at `start` of the chunk.
    fn complete(&mut self, part: &[u8], start: usize, out: &mut Output<'_>) {
        let whole = start..start + part.len();
        if self.overlong || self.held.len() + part.len() > EVENT_BYTES_MAX {
            self.overlong = false;
            // Nobody knows what it said; most likely it was a piece of the answer.
            self.tally.events += 1;
            self.tally.unreported += 1;
            out.append(&std::mem::take(&mut self.held));
            out.keep(whole);
            return;
        }
        if self.held.is_empty() {
            match self.read(part) {
                Verdict::Keep => out.keep(whole),
                Verdict::Drop => {}
                Verdict::Cut(cuts) => {
                    without(&cuts, part.len(), |kept| {
                        out.keep(start + kept.start..start + kept.end);
                    });
                }
            }
            return;
        }
        let mut event = std::mem::take(&mut self.held);
        event.extend_from_slice(part);
        match self.read(&event) {
            Verdict::Keep => out.append(&event),
            Verdict::Drop => {}
            Verdict::Cut(cuts) => {
                without(&cuts, event.len(), |kept| out.append(event.get(kept).unwrap_or_default()));
            }
        }
    }

    fn read(&mut self, raw: &[u8]) -> Verdict {
        let Some(event) = Event::read(raw) else { return Verdict::Keep };
        let facts = Facts::of(self.shape, &event);
        self.tally.add(&facts);
        let Some(usage) = facts.usage else { return Verdict::Keep };
        let told = usage.kind == Kind::Object;
        let cut = match self.hide {
            Hide::UsageChunk | Hide::UsageEverywhere if told && facts.no_choices => {
                return Verdict::Drop;
            }
            Hide::Nothing => false,
            Hide::UsageChunk => usage.kind == Kind::Null,
            Hide::UsageEverywhere => true,
            Hide::ContinuousOnly => told && !facts.no_choices,
        };
        if !cut {
            return Verdict::Keep;
        }
        let mut cuts = Vec::with_capacity(1);
        if !usage.repeated {
            cuts.push(event.data.in_event(usage.cut));
            return Verdict::Cut(cuts);
        }
        // Facts come from valid data only, so there is no error to expect.
        let valid = removals(&event.data.text, "usage", |cut| cuts.push(event.data.in_event(cut)));
        if valid.is_ok() { Verdict::Cut(cuts) } else { Verdict::Keep }
    }
}

impl Tally {
    fn add(&mut self, facts: &Facts) {
        self.events += 1;
        self.saw_done |= facts.last;
        self.failed |= facts.failed;
        self.unreported += u64::from(facts.answers);
        if let Some(counts) = facts.counts {
            self.counts.get_or_insert_default().merge(counts);
            self.unreported = 0;
        }
    }
}

/// What is left of `length` bytes without the `cuts`, which come in order.
fn without(cuts: &[Range<usize>], length: usize, mut kept: impl FnMut(Range<usize>)) {
    let mut at = 0;
    for cut in cuts {
        kept(at..cut.start);
        at = cut.end;
    }
    kept(at..length);
}

/// What of a chunk is forwarded, and what was held back before it. Nothing is copied as long as
/// it is one run of the chunk.
struct Output<'a> {
    chunk: &'a Bytes,
    copied: Vec<u8>,
    run: Range<usize>,
}

impl<'a> Output<'a> {
    fn of(chunk: &'a Bytes) -> Self {
        Self { chunk, copied: Vec::new(), run: 0..0 }
    }

    fn keep(&mut self, part: Range<usize>) {
        if self.run.end != part.start {
            self.end_run();
            self.run.start = part.start;
        }
        self.run.end = part.end;
    }

    fn append(&mut self, bytes: &[u8]) {
        self.end_run();
        self.copied.extend_from_slice(bytes);
    }

    fn end_run(&mut self) {
        let run = self.chunk.get(self.run.clone()).unwrap_or_default();
        if !run.is_empty() && self.copied.is_empty() {
            self.copied.reserve(self.chunk.len());
        }
        self.copied.extend_from_slice(run);
        self.run.start = self.run.end;
    }

    fn into_bytes(mut self) -> Bytes {
        if self.copied.is_empty() && !self.run.is_empty() {
            return self.chunk.slice(self.run);
        }
        self.end_run();
        self.copied.into()
    }
}

#[cfg(test)]
mod tests;
