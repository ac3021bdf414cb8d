//! Which endpoint? Asked again after each failed attempt.

use super::retry::{AttemptOutcome, RETRIES_AFTER_SENDING_MAX};
use crate::{
    limit::concurrency::ConcurrencyPermit,
    response::rejection::Rejection,
    tables::RouteEntry,
    upstream::{Endpoint, balance},
};
use rand::Rng;
use std::{fmt, slice, sync::Arc};

/// The endpoints that may serve a request, each tried once.
pub struct Candidates<'a> {
    route: &'a RouteEntry,
    endpoints: &'a [Arc<Endpoint>],
    tried: Vec<&'a Arc<Endpoint>>,
    sent: usize,
}

/// An endpoint, with a request in flight there until dropped.
pub struct PickedEndpoint<'a> {
    pub endpoint: &'a Arc<Endpoint>,
    _running: ConcurrencyPermit,
}

/// How many endpoints are ready.
pub struct Readiness<'a> {
    route: &'a RouteEntry,
    ready: usize,
    total: usize,
}

impl<'a> Candidates<'a> {
    /// All endpoints of a route.
    pub fn all(route: &'a RouteEntry) -> Self {
        Self { endpoints: &route.endpoints, route, tried: Vec::new(), sent: 0 }
    }

    /// The only endpoint that has a stored response.
    pub fn pinned(route: &'a RouteEntry, endpoint: &'a Arc<Endpoint>) -> Self {
        Self { endpoints: slice::from_ref(endpoint), ..Self::all(route) }
    }

    pub fn pick(&mut self, random: &mut impl Rng) -> Result<PickedEndpoint<'a>, Rejection> {
        self.pick_untried(random).ok_or_else(|| {
            let readiness = self.readiness();
            tracing::debug!(reason = %readiness, "no endpoint to pick");
            readiness.rejection()
        })
    }

    /// The endpoint to try after such an attempt, if any.
    pub fn pick_next(
        &mut self,
        outcome: AttemptOutcome,
        random: &mut impl Rng,
    ) -> Option<PickedEndpoint<'a>> {
        self.sent += usize::from(outcome.is_sent());
        let may_retry = outcome.is_retryable() && self.sent <= RETRIES_AFTER_SENDING_MAX;
        if may_retry { self.pick_untried(random) } else { None }
    }

    fn pick_untried(&mut self, random: &mut impl Rng) -> Option<PickedEndpoint<'a>> {
        let endpoint = balance::least_busy(self.endpoints, &self.tried, random)?;
        self.tried.push(endpoint);
        Some(PickedEndpoint { endpoint, _running: endpoint.state.running.acquire() })
    }

    /// How many were tried.
    pub fn attempts(&self) -> usize {
        self.tried.len()
    }

    pub fn readiness(&self) -> Readiness<'a> {
        let ready = self.endpoints.iter().filter(|it| it.state.health.is_ready()).count();
        Readiness { route: self.route, ready, total: self.endpoints.len() }
    }
}

impl Readiness<'_> {
    pub fn passes(&self) -> bool {
        0 < self.ready
    }

    pub fn rejection(&self) -> Rejection {
        Rejection::NoReadyEndpoint { model: self.route.label.to_string() }
    }
}

impl fmt::Display for Readiness<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} endpoints are ready", self.ready, self.total)
    }
}
