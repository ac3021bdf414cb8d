//! The body of a reply: whole or a stream of events, cut where a fault wants it, and
//! watched, so that the record knows whether it went out.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::exchange::Exchange;
use crate::wire::{Control, Ending};

/// What vLLM sends when its engine dies under a stream.
pub(crate) const ENGINE_DEAD_EVENT: &str = "data: {\"error\": {\"message\": \"EngineCore encountered an issue. See stack trace (above) for the root cause.\", \"type\": \"InternalServerError\", \"param\": null, \"code\": 500}}\n\ndata: [DONE]\n\n";
/// What vLLM sends when a stream found the queue full after its 200 went out.
pub(crate) const BUSY_EVENT: &str = "data: {\"error\": {\"message\": \"The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.\", \"type\": \"Service Unavailable\", \"param\": null, \"code\": 503}}\n\ndata: [DONE]\n\n";

/// What a handler answers with.
pub(crate) enum Content {
    Whole(Bytes),
    Events(Pin<Box<dyn Stream<Item = EventChunk> + Send>>),
}

/// Some events of a stream.
#[derive(Debug)]
pub(crate) struct EventChunk {
    pub(crate) bytes: Bytes,
    /// These are the closing events.
    pub(crate) tail: bool,
}

impl Content {
    /// A stream that holds only `events`.
    pub(crate) fn only(events: &'static str) -> Self {
        let part = EventChunk { bytes: Bytes::from_static(events.as_bytes()), tail: false };
        Self::Events(Box::pin(futures::stream::iter([part])))
    }
}

/// Where a fault cuts a body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Nowhere,
    BeforeTail,
    AfterEvents(usize, AfterCut),
}

/// What follows the cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AfterCut {
    Cut(Ending),
    Stall,
    Error,
    End,
}

/// A body on its way out. Dropped before its end, the exchange counts as aborted.
pub(crate) struct ReplyBody {
    content: Content,
    cut: Cut,
    /// The content is over, or a fault made it so.
    over: bool,
    control: Arc<Control>,
    exchange: Exchange,
}

impl ReplyBody {
    pub(crate) fn new(
        content: Content,
        cut: Cut,
        control: Arc<Control>,
        exchange: Exchange,
    ) -> Self {
        Self { content, cut, over: false, control, exchange }
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<EventChunk>> {
        match &mut self.content {
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready(Some(EventChunk { bytes, tail: false }))
            }
            Content::Events(events) => events.as_mut().poll_next(cx),
        }
    }

    /// What follows the cut.
    fn poll_after_cut(&mut self, then: AfterCut) -> Poll<Option<Bytes>> {
        match then {
            AfterCut::Cut(ending) => {
                self.control.end(ending);
                Poll::Pending
            }
            // Never woken; the exchange ends when the client disconnects.
            AfterCut::Stall => Poll::Pending,
            AfterCut::Error => {
                self.over = true;
                Poll::Ready(Some(Bytes::from_static(ENGINE_DEAD_EVENT.as_bytes())))
            }
            AfterCut::End => {
                self.over = true;
                Poll::Ready(None)
            }
        }
    }

    /// What the cut leaves of a part.
    fn shorten(&mut self, whole: bool, part: EventChunk) -> Bytes {
        match &mut self.cut {
            Cut::Nowhere => part.bytes,
            Cut::BeforeTail if part.tail => Bytes::new(),
            Cut::BeforeTail => part.bytes,
            Cut::AfterEvents(left, _) if whole => {
                *left = 0;
                part.bytes.slice(..part.bytes.len() / 2)
            }
            Cut::AfterEvents(left, _) => {
                let mut ends = memchr::memmem::find_iter(&part.bytes, b"\n\n").map(|at| at + 2);
                let kept = left.checked_sub(1).and_then(|nth| ends.nth(nth));
                let kept = kept.unwrap_or(if *left == 0 { 0 } else { part.bytes.len() });
                let kept = part.bytes.slice(..kept);
                *left -= memchr::memmem::find_iter(&kept, b"\n\n").count();
                kept
            }
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let whole = matches!(self.content, Content::Whole(_));
        loop {
            if self.over {
                return Poll::Ready(None);
            }
            if let Cut::AfterEvents(0, then) = self.cut
                && !(whole && matches!(&self.content, Content::Whole(bytes) if !bytes.is_empty()))
            {
                return self.poll_after_cut(then);
            }
            let Some(part) = std::task::ready!(self.poll_content(cx)) else {
                self.over = true;
                return Poll::Ready(None);
            };
            let bytes = self.shorten(whole, part);
            if !bytes.is_empty() {
                return Poll::Ready(Some(bytes));
            }
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::task::ready!(self.poll_bytes(cx));
        if self.is_end_stream() || bytes.is_none() {
            self.exchange.complete();
        }
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match (&self.content, self.cut) {
            (Content::Whole(bytes), Cut::Nowhere) => bytes.is_empty(),
            (Content::Whole(_) | Content::Events(_), _) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.content, self.cut) {
            (Content::Whole(bytes), Cut::Nowhere) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            (Content::Whole(_) | Content::Events(_), _) => SizeHint::default(),
        }
    }
}

/// Why a request body could not be read.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The client went away or broke the framing.
    Broken,
    /// More than the configured limit.
    TooLarge,
}

/// Reads a request body of at most `bytes_max` bytes.
pub(crate) async fn read(mut body: Incoming, bytes_max: usize) -> Result<Bytes, BodyError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_broken| BodyError::Broken)?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > bytes_max {
            return Err(BodyError::TooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}
