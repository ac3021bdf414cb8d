//! Reads the usage of a stream of events, and removes usage the client did not request.
//!
//! An event is forwarded as soon as it is complete, byte for byte but for the usage that we
//! requested, so that the client sees the stream it would have got. When a stream breaks, no half
//! event is left behind, which clients would fail to parse instead of reading the error that
//! follows.

use std::ops::Range;

use bytes::Bytes;

use super::UsageFormat;
use super::error_event::error_event;
use super::event_summary::EventSummary;
use super::sse::{EVENT_BYTES_MAX, SseEvent, SseSplitter};
use super::token_counts::{TokenCounts, TokenUsage};
use crate::body::json::ValueKind;

/// The usage to remove from a stream: what we requested and the client did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageFilter {
    Off,
    /// We added `include_usage`: the event at the end that carries only usage, and the
    /// `"usage":null` that OpenAI then writes into all others.
    FinalChunk,
    /// We added `include_usage` and `continuous_usage_stats`.
    All,
    /// We added `continuous_usage_stats`: all but the event at the end that carries only usage.
    ContinuousOnly,
}

#[derive(Debug)]
pub struct SseUsageReader {
    usage_format: UsageFormat,
    filter: UsageFilter,
    splitter: SseSplitter,
    /// The beginning of an incomplete event.
    buffered: Vec<u8>,
    /// That event is longer than [`EVENT_BYTES_MAX`], and so passes unread.
    is_overlong: bool,
    /// The body ended without the blank line of its last event.
    is_unterminated: bool,
    totals: StreamTotals,
}

#[derive(Debug, Default)]
struct StreamTotals {
    counts: Option<TokenCounts>,
    /// Events with output text since the upstream last reported its count.
    unreported: u64,
    events: u64,
    saw_done: bool,
    failed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSummary {
    /// `None` if nothing was reported and no text came.
    pub usage: Option<TokenUsage>,
    /// Whether the last event of the dialect came: `[DONE]`, `message_stop`,
    /// `response.completed`, `response.incomplete` or `response.failed`.
    pub saw_done: bool,
    /// Whether there was an error event.
    pub failed: bool,
    /// Events with data.
    pub events: u64,
}

impl SseUsageReader {
    /// A reader for one stream, which must not be compressed.
    pub fn new(usage_format: UsageFormat, filter: UsageFilter) -> Self {
        Self {
            usage_format,
            filter,
            splitter: SseSplitter::default(),
            buffered: Vec::new(),
            is_overlong: false,
            is_unterminated: false,
            totals: StreamTotals::default(),
        }
    }

    /// Reads the next chunk and returns the bytes to forward now, which may be none: an event is
    /// forwarded once it is complete.
    pub fn push(&mut self, chunk: &Bytes) -> Bytes {
        let mut out = ForwardedBytes::of(chunk);
        let mut rest: &[u8] = chunk;
        while !rest.is_empty() {
            let start = chunk.len() - rest.len();
            let Some(part) = self.splitter.next(&mut rest) else {
                self.buffer(rest, start, &mut out);
                break;
            };
            self.complete(part, start, &mut out);
        }
        out.into_bytes()
    }

    /// Returns the rest at the end of a body: an event without its blank line. Not for a broken
    /// stream, where half an event is useless.
    pub fn flush(&mut self) -> Bytes {
        let none = Bytes::new();
        let mut out = ForwardedBytes::of(&none);
        self.is_unterminated = self.is_overlong || !self.buffered.is_empty();
        if self.is_unterminated {
            self.complete(&[], 0, &mut out);
        }
        out.into_bytes()
    }

    /// Whether the client received the beginning of an event and not its end.
    pub fn mid_event(&self) -> bool {
        self.is_overlong || self.is_unterminated
    }

    /// Whether the last event of the dialect has come, or an error. A body that ends cleanly
    /// without it was cut short by an intermediary, or by a server that died.
    pub fn is_over(&self) -> bool {
        let no_last_event =
            matches!(self.usage_format, UsageFormat::Embeddings | UsageFormat::None);
        no_last_event || self.totals.saw_done || self.totals.failed
    }

    /// The dialect's error event for a broken stream. In the middle of an event that was too long
    /// to buffer it begins with the missing blank line.
    pub fn failure(&self, code: &str, message: &str) -> Bytes {
        let event = error_event(self.usage_format, code, message, self.totals.events);
        if !self.mid_event() {
            return event;
        }
        Bytes::from([b"\n\n".as_slice(), &event].concat())
    }

    pub fn finish(self) -> StreamSummary {
        let StreamTotals { counts, unreported, events, saw_done, failed } = self.totals;
        let has_usage = counts.is_some() || unreported > 0;
        let usage =
            has_usage.then(|| counts.unwrap_or_default().usage(self.usage_format, unreported));
        StreamSummary { usage, saw_done, failed, events }
    }

    /// Buffers a part of an incomplete event, which begins at `start` of the chunk.
    fn buffer(&mut self, part: &[u8], start: usize, out: &mut ForwardedBytes<'_>) {
        if !self.is_overlong && self.buffered.len() + part.len() > EVENT_BYTES_MAX {
            self.is_overlong = true;
            out.append(&std::mem::take(&mut self.buffered));
        }
        if self.is_overlong {
            out.keep(start..start + part.len());
        } else {
            self.buffered.extend_from_slice(part);
        }
    }

    /// Completes an event with its last part, which begins at `start` of the chunk.
    fn complete(&mut self, part: &[u8], start: usize, out: &mut ForwardedBytes<'_>) {
        let mut event = std::mem::take(&mut self.buffered);
        if self.is_overlong || event.len() + part.len() > EVENT_BYTES_MAX {
            self.is_overlong = false;
            // Unread; most likely it was output text.
            self.totals.events += 1;
            self.totals.unreported += 1;
            out.append(&event);
            out.keep(start..start + part.len());
            return;
        }
        if event.is_empty() {
            self.forward(part, |kept| out.keep(start + kept.start..start + kept.end));
        } else {
            event.extend_from_slice(part);
            self.forward(&event, |kept| out.append(event.get(kept).unwrap_or_default()));
        }
    }

    /// Passes on the parts of an event that are not removed, in order.
    fn forward(&mut self, event: &[u8], mut kept: impl FnMut(Range<usize>)) {
        let mut at = 0;
        for removed in self.read(event) {
            if at < removed.start {
                kept(at..removed.start);
            }
            at = removed.end;
        }
        if at < event.len() {
            kept(at..event.len());
        }
    }

    /// Reads an event; returns the parts to remove, in order.
    fn read(&mut self, raw: &[u8]) -> Vec<Range<usize>> {
        let Some(event) = SseEvent::parse(raw) else { return Vec::new() };
        let summary = EventSummary::of(self.usage_format, &event);
        self.totals.add(&summary);
        let Some(kind) = summary.usage_kind else { return Vec::new() };
        let is_reported = kind == ValueKind::Object;
        let is_only_usage = is_reported && summary.has_no_choices;
        let is_unwanted = match self.filter {
            UsageFilter::Off => false,
            UsageFilter::FinalChunk => is_only_usage || kind == ValueKind::Null,
            UsageFilter::All => true,
            UsageFilter::ContinuousOnly => is_reported && !is_only_usage,
        };
        if !is_unwanted {
            return Vec::new();
        }
        let mut removed = summary.usage_spans;
        if is_only_usage {
            removed.clear();
            removed.push(0..raw.len());
        } else {
            removed.iter_mut().for_each(|range| *range = event.data.range_in_event(range.clone()));
        }
        removed
    }
}

impl StreamTotals {
    fn add(&mut self, summary: &EventSummary) {
        self.events += 1;
        self.saw_done |= summary.is_last;
        self.failed |= summary.is_error;
        self.unreported += u64::from(summary.has_uncounted_text);
        if let Some(counts) = summary.counts {
            self.counts.get_or_insert_default().merge(counts);
            self.unreported = 0;
        }
    }
}

/// The bytes to forward. Nothing is copied as long as they are one run of the chunk.
struct ForwardedBytes<'a> {
    chunk: &'a Bytes,
    copied: Vec<u8>,
    run: Range<usize>,
}

impl<'a> ForwardedBytes<'a> {
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
