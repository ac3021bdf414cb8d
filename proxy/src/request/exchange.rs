//! One request and its reply, from the first byte to the line in the log.

use crate::{
    response::{rejection::Rejection, writer::Stamp},
    stage::{
        accept::{Entry, Operation},
        authenticate::Principal,
        record::Recorder,
        relay::First,
    },
    tables::RouteEntry,
    upstream::Endpoint,
    usage::TokenUsage,
};
use bytes::Bytes;
use http::StatusCode;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What becomes known of a request, in the order in which it becomes known. It is recorded when
/// it is dropped: once, however it ended.
pub struct Exchange {
    /// When its header was complete.
    pub received_at: Instant,
    /// Which face it came through.
    pub entry: Entry,
    /// What every answer bears.
    pub stamp: Stamp,
    /// What was asked.
    pub operation: Option<&'static Operation>,
    /// Who asked.
    pub principal: Option<Principal>,
    /// Where it went.
    pub route: Option<Arc<RouteEntry>>,
    /// The endpoint last tried.
    pub endpoint: Option<Arc<Endpoint>>,
    /// How many endpoints were tried.
    pub attempts: usize,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// What came back.
    pub reply: Reply,
    /// How it ended.
    pub end: End,
    recorder: Arc<Recorder>,
}

/// What came back.
#[derive(Debug, Default)]
pub struct Reply {
    /// What the client was told.
    pub status: Option<StatusCode>,
    /// Whether it is a stream of events.
    pub is_event_stream: bool,
    /// The bytes of the body, as the upstream sent them.
    pub bytes: u64,
    /// How long until the first of them.
    pub first_byte_after: Option<Duration>,
    /// The tokens it cost.
    pub usage: Option<TokenUsage>,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// It has not; if it is recorded so, something panicked.
    Open,
    /// We answered: with what was asked of ourselves.
    Answered,
    /// We refused it, for the reason of this code.
    Rejected(&'static str),
    /// An upstream answered, to the end.
    Complete,
    /// The upstream broke off after the client had been told 200.
    Broken,
    /// We cut it off, because we stop or because it took too long.
    Cut,
    /// The client went away.
    ClientGone,
}

impl Exchange {
    /// Begins with what the header says.
    pub fn begin(recorder: Arc<Recorder>, entry: Entry, stamp: Stamp, now: Instant) -> Self {
        recorder.begin();
        Self {
            received_at: now,
            entry,
            stamp,
            operation: None,
            principal: None,
            route: None,
            endpoint: None,
            attempts: 0,
            stream: false,
            reply: Reply::default(),
            end: End::Open,
            recorder,
        }
    }

    /// Whether the client got an answer that is whole, if maybe not a good one: a stream that
    /// broke ends in an event that says so.
    pub fn is_whole(&self) -> bool {
        match self.end {
            End::Answered | End::Rejected(_) | End::Complete => true,
            End::Broken | End::Cut => self.reply.is_event_stream,
            End::Open | End::ClientGone => false,
        }
    }

    /// Ends with an answer of our own.
    pub fn answered(&mut self) -> End {
        self.reply.status = Some(StatusCode::OK);
        End::Answered
    }

    /// Ends with a refusal.
    pub fn reject(&mut self, rejection: &Rejection) {
        self.reply.status = Some(rejection.status(self.stamp.dialect));
        self.end = End::Rejected(rejection.code());
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let recorder = Arc::clone(&self.recorder);
        recorder.end(self);
    }
}

impl Reply {
    /// Notes that a reply has begun to come.
    pub fn begin(&mut self, first: &First, since: Duration) {
        self.is_event_stream = matches!(first, First::Stream(..));
        self.observe(first.held().iter().map(Bytes::len).sum(), since);
    }

    /// Notes bytes that came from the upstream.
    pub fn observe(&mut self, bytes: usize, since: Duration) {
        self.bytes += bytes as u64;
        self.first_byte_after.get_or_insert(since);
    }
}

impl End {
    /// A bounded name for metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "panicked",
            Self::Answered => "answered",
            Self::Rejected(_) => "rejected",
            Self::Complete => "complete",
            Self::Broken => "broken",
            Self::Cut => "cut",
            Self::ClientGone => "client_gone",
        }
    }
}
