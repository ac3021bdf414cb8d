//! One request and its reply, as metrics and logs see them.

use crate::{
    response::{context::ResponseContext, rejection::Rejection},
    stage::{
        accept::{Entry, Operation},
        authenticate::Principal,
    },
    tables::RouteEntry,
    upstream::Endpoint,
    usage::TokenUsage,
};
use http::StatusCode;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What is known of a request, in the order in which it becomes known.
pub struct Exchange {
    /// When its header was complete.
    pub received_at: Instant,
    pub entry: Entry,
    pub context: ResponseContext,
    pub operation: Option<&'static Operation>,
    pub principal: Option<Principal>,
    pub route: Option<Arc<RouteEntry>>,
    /// The last one tried.
    pub endpoint: Option<Arc<Endpoint>>,
    /// How many endpoints were tried.
    pub attempts: usize,
    /// Whether a stream was requested.
    pub stream: bool,
    pub reply: Reply,
    pub outcome: ExchangeOutcome,
}

#[derive(Debug, Default)]
pub struct Reply {
    /// What the client was sent.
    pub status: Option<StatusCode>,
    pub is_event_stream: bool,
    pub first_byte_after: Option<Duration>,
    pub usage: Option<TokenUsage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExchangeOutcome {
    /// Still running; if recorded, something panicked.
    Running,
    /// By the gateway itself.
    Answered,
    /// With this code.
    Rejected(&'static str),
    /// An upstream replied, to the end.
    Complete,
    /// The upstream was lost after the client had been sent a status.
    Broken,
    /// Cut off by us, at shutdown or at the route's timeout.
    Cut,
    ClientGone,
}

impl Exchange {
    pub fn new(entry: Entry, context: ResponseContext, now: Instant) -> Self {
        Self {
            received_at: now,
            entry,
            context,
            operation: None,
            principal: None,
            route: None,
            endpoint: None,
            attempts: 0,
            stream: false,
            reply: Reply::default(),
            outcome: ExchangeOutcome::Running,
        }
    }

    /// Whether the client got a complete response, if maybe an error: a broken stream ends in an
    /// event that says so.
    pub fn is_response_complete(&self) -> bool {
        use ExchangeOutcome as O;
        match self.outcome {
            O::Answered | O::Rejected(_) | O::Complete => true,
            O::Broken | O::Cut => self.reply.is_event_stream,
            O::Running | O::ClientGone => false,
        }
    }

    /// Ends with a response of our own.
    pub fn answered(&mut self) -> ExchangeOutcome {
        self.reply.status = Some(StatusCode::OK);
        ExchangeOutcome::Answered
    }

    pub fn reject(&mut self, rejection: &Rejection) {
        self.reply.status = Some(rejection.status(self.context.dialect));
        self.outcome = ExchangeOutcome::Rejected(rejection.code());
    }
}

impl ExchangeOutcome {
    /// A bounded name for metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "panicked",
            Self::Answered => "answered",
            Self::Rejected(_) => "rejected",
            Self::Complete => "complete",
            Self::Broken => "broken",
            Self::Cut => "cut",
            Self::ClientGone => "client_gone",
        }
    }
}
