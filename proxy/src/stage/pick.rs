//! Which endpoint? Asked again after a failed attempt.

use crate::{
    limit::concurrency::Running,
    response::rejection::Rejection,
    tables::RouteEntry,
    upstream::{self, Endpoint},
};
use rand::Rng;
use std::sync::Arc;

/// Attempts after the first that got as far as sending the request. A request that kills its
/// server must not go through all of them. Refused connections do not count.
pub const RETRIES_AFTER_SENDING_MAX: usize = 2;

/// The endpoints of a route, each tried once.
pub struct Choice {
    route: Arc<RouteEntry>,
    endpoints: Vec<Arc<Endpoint>>,
    tried: Vec<Arc<Endpoint>>,
    sent: usize,
}

/// An endpoint, and the place it holds there.
pub struct Picked {
    /// Where to go.
    pub endpoint: Arc<Endpoint>,
    /// Counts as running there until dropped.
    pub running: Running,
}

impl Choice {
    /// All of a route's endpoints.
    pub fn new(route: Arc<RouteEntry>) -> Self {
        Self { endpoints: route.endpoints.clone(), route, tried: Vec::new(), sent: 0 }
    }

    /// One endpoint and no other: a stored response is where it was made.
    pub fn only(route: Arc<RouteEntry>, endpoint: &Arc<Endpoint>) -> Self {
        Self { endpoints: vec![Arc::clone(endpoint)], ..Self::new(route) }
    }

    /// The next to try.
    ///
    /// # Errors
    /// [`Rejection::NoEndpoint`] if none was ready, [`Rejection::UpstreamFailed`] if those that
    /// were have failed.
    pub fn next(&mut self, random: &mut impl Rng) -> Result<Picked, Rejection> {
        let spent = RETRIES_AFTER_SENDING_MAX < self.sent;
        let chosen = upstream::choose(&self.endpoints, &self.tried, random);
        match chosen {
            Some(endpoint) if !spent => {
                self.tried.push(Arc::clone(&endpoint));
                let running = endpoint.state.running.enter(None);
                running
                    .map(|running| Picked { endpoint, running })
                    .map_err(|_full| Rejection::Saturated)
            }
            None if self.tried.is_empty() => {
                Err(Rejection::NoEndpoint { model: self.route.label.to_string() })
            }
            Some(_) | None => Err(Rejection::UpstreamFailed),
        }
    }

    /// The request has been sent to the endpoint last picked.
    pub fn sent(&mut self) {
        self.sent += 1;
    }

    /// Whether there is another to try.
    pub fn has_more(&self) -> bool {
        let mut rest = upstream::available(&self.endpoints, &self.tried);
        self.sent <= RETRIES_AFTER_SENDING_MAX && rest.next().is_some()
    }

    /// How many were tried.
    pub fn attempts(&self) -> usize {
        self.tried.len()
    }
}
