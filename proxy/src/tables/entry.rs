//! A route, with what it leads to.

use crate::{limit::concurrency::ConcurrencyLimit, metrics::RouteMetrics, upstream::Endpoint};
use llm_contract::{ModelId, ResourceName, Route, RouteMatch, Upstream};
use std::{
    iter,
    sync::{Arc, OnceLock},
};

/// A route, with what it leads to.
pub struct RouteEntry {
    /// The model's id, or `*`: in logs and metrics.
    pub label: Arc<str>,
    /// As the table says.
    pub route: Route,
    /// Where it leads.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The requests that run.
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

    /// The custom resource that declares it; a table that comes whole has none.
    pub(super) fn resource(&self) -> Arc<str> {
        self.route.resource.as_ref().map_or("", ResourceName::as_str).into()
    }

    /// The id the upstream knows a model by, given what the client wrote.
    pub fn upstream_model<'a>(&'a self, written: &'a str) -> &'a str {
        let named = match (&self.route.upstream, &self.route.matches) {
            (Upstream::Served(served), _) => served.model.as_ref(),
            (Upstream::Provider(_, Some(model)), _) => Some(model),
            (Upstream::Provider(_, None), RouteMatch::Model { id, .. }) => Some(id),
            (Upstream::Provider(_, None), RouteMatch::CatchAll) => None,
        };
        named.map_or(written, ModelId::as_str)
    }

    /// Who runs it, as model lists say.
    pub fn owner(&self) -> &str {
        match &self.route.upstream {
            Upstream::Served(_) => "vllm",
            Upstream::Provider(provider, _) => &provider.name,
        }
    }
}

/// The id of a route's model; a catch-all has none.
pub(super) fn id(route: &Route) -> Option<&ModelId> {
    match &route.matches {
        RouteMatch::Model { id, .. } => Some(id),
        RouteMatch::CatchAll => None,
    }
}

/// The names that lead to a route, its id first; `None` for whatever nobody else has.
pub(super) fn names(route: &Route) -> impl Iterator<Item = Option<&ModelId>> {
    let aliases = match &route.matches {
        RouteMatch::Model { aliases, .. } => aliases.as_slice(),
        RouteMatch::CatchAll => &[],
    };
    iter::once(id(route)).chain(aliases.iter().map(Some))
}

/// Whether it leads to model servers of our own.
pub(super) fn is_served(route: &Route) -> bool {
    matches!(route.upstream, Upstream::Served(_))
}
