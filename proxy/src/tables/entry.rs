//! A route with its runtime state.

use crate::{limit::concurrency::ConcurrencyLimit, metrics::RouteMetrics, upstream::Endpoint};
use llm_contract::{ModelId, ResourceName, Route, RouteMatch, Upstream};
use std::{
    iter,
    sync::{Arc, OnceLock},
};

pub struct RouteEntry {
    /// The model id, or `*`, in logs and metrics.
    pub label: Arc<str>,
    pub route: Route,
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Counts running requests.
    pub running: ConcurrencyLimit,
    /// What is counted of it.
    pub metrics: OnceLock<RouteMetrics>,
}

impl RouteEntry {
    pub(super) fn new(
        route: Route,
        endpoints: Vec<Arc<Endpoint>>,
        running: ConcurrencyLimit,
    ) -> Self {
        let label = id(&route).map_or("*", ModelId::as_str).into();
        Self { label, route, endpoints, running, metrics: OnceLock::new() }
    }

    /// The custom resource that declares it; empty for routes of a whole table.
    pub(super) fn resource(&self) -> Arc<str> {
        self.route.resource.as_ref().map_or("", ResourceName::as_str).into()
    }

    /// The upstream's id of a model, given the client's.
    pub fn upstream_model<'a>(&'a self, requested: &'a str) -> &'a str {
        let named = match (&self.route.upstream, &self.route.matches) {
            (Upstream::Served(served), _) => served.model.as_ref(),
            (Upstream::Provider(_, Some(model)), _) => Some(model),
            (Upstream::Provider(_, None), RouteMatch::Model { id, .. }) => Some(id),
            (Upstream::Provider(_, None), RouteMatch::CatchAll) => None,
        };
        named.map_or(requested, ModelId::as_str)
    }

    /// `owned_by` in model lists.
    pub fn owner(&self) -> &str {
        match &self.route.upstream {
            Upstream::Served(_) => "vllm",
            Upstream::Provider(provider, _) => &provider.name,
        }
    }
}

/// `None` for a catch-all.
pub(super) fn id(route: &Route) -> Option<&ModelId> {
    match &route.matches {
        RouteMatch::Model { id, .. } => Some(id),
        RouteMatch::CatchAll => None,
    }
}

/// The id of a route and its aliases; one `None` for a catch-all.
pub(super) fn names(route: &Route) -> impl Iterator<Item = Option<&ModelId>> {
    let aliases = match &route.matches {
        RouteMatch::Model { aliases, .. } => aliases.as_slice(),
        RouteMatch::CatchAll => &[],
    };
    iter::once(id(route)).chain(aliases.iter().map(Some))
}

pub(super) fn is_served(route: &Route) -> bool {
    matches!(route.upstream, Upstream::Served(_))
}
