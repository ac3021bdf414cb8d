//! What is in force: one snapshot, swapped whole.
//!
//! A request takes one snapshot and keeps it. What must survive a swap (the requests that run,
//! how an endpoint is doing, keys already verified) is carried over from the snapshot before.

use crate::{
    balance::{
        Endpoint,
        endpoint::{self, State},
    },
    keyring::KeyEntry,
    limit::Gauge,
    metrics::Meters,
};
use arc_swap::ArcSwap;
use hashbrown::HashMap;
use llm_contract::{KeyId, ModelId, Route, RouteMatch, Settings, Table, Upstream};
use std::sync::{Arc, OnceLock};

/// The snapshot in force.
pub struct Tables(ArcSwap<Snapshot>);

/// Everything a request is decided by.
#[derive(Default)]
pub struct Snapshot {
    /// Keys by their public part.
    pub keys: HashMap<KeyId, Arc<KeyEntry>>,
    /// What applies to every route.
    pub settings: Settings,
    /// Routes that are listed: each once, in the order of their ids.
    pub listed: Vec<Arc<RouteEntry>>,
    names: HashMap<ModelId, Arc<RouteEntry>>,
    catch_all: Option<Arc<RouteEntry>>,
    states: HashMap<Arc<str>, Arc<State>>,
    /// No table has come yet.
    never: bool,
}

/// A route, with what it leads to.
pub struct RouteEntry {
    /// The model's id, or `*`: in logs and metrics.
    pub label: Arc<str>,
    /// As the table says.
    pub route: Route,
    /// Where it leads.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The requests that run.
    pub running: Gauge,
    /// What is counted of it.
    pub meters: OnceLock<Meters>,
}

impl Tables {
    /// Nothing in force: no key is valid and no model exists.
    pub fn empty() -> Self {
        Self(ArcSwap::from_pointee(Snapshot { never: true, ..Snapshot::default() }))
    }

    /// Whether no table has come yet.
    pub fn is_empty(&self) -> bool {
        self.0.load().never
    }

    /// What is in force now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Puts a table in force; requests that run keep the one they began with.
    pub fn update(&self, table: Table) {
        let next = Snapshot::compile(table, &self.0.load());
        self.0.store(Arc::new(next));
    }
}

impl Snapshot {
    /// Which route serves a model: served models before providers', those before a catch-all.
    pub fn route(&self, model: &str) -> Option<&Arc<RouteEntry>> {
        self.names.get(model).or(self.catch_all.as_ref())
    }

    /// Every endpoint of every route.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.listed.iter().chain(&self.catch_all).flat_map(|entry| &entry.endpoints)
    }

    fn compile(table: Table, previous: &Self) -> Self {
        // Issuers are in force where tokens are verified.
        let Table { revision: _, routes, keys, issuers: _, settings } = table;
        let mut next = Self { settings, ..Self::default() };
        next.keys = keys
            .into_iter()
            .map(|record| {
                let id = record.id;
                (id, KeyEntry::new(record, previous.keys.get(&id)))
            })
            .collect();
        // Served models come first and are not displaced by what comes after.
        let (served, others): (Vec<_>, Vec<_>) =
            routes.into_iter().partition(|it| matches!(it.upstream, Upstream::Served(_)));
        for route in served.into_iter().chain(others) {
            next.add(&route, previous);
        }
        next.listed.sort_by(|a, b| a.label.cmp(&b.label));
        next
    }

    fn add(&mut self, route: &Route, previous: &Self) {
        let endpoints = self.endpoints_of(&route.upstream, previous);
        match &route.matches {
            RouteMatch::CatchAll => {
                let before = previous.catch_all.as_ref();
                let entry = RouteEntry::new("*".into(), route, endpoints, before);
                self.catch_all.get_or_insert(entry);
            }
            RouteMatch::Model { id, aliases } => {
                let before = previous.names.get(id);
                let entry = RouteEntry::new(id.as_str().into(), route, endpoints, before);
                let mut reachable = false;
                for name in std::iter::once(id).chain(aliases) {
                    reachable |= !self.names.contains_key(name);
                    self.names.entry(name.clone()).or_insert_with(|| Arc::clone(&entry));
                }
                let shadowed = self.names.get(id).is_some_and(|it| !Arc::ptr_eq(it, &entry));
                if reachable && !shadowed {
                    self.listed.push(entry);
                }
            }
        }
    }

    fn endpoints_of(&mut self, upstream: &Upstream, previous: &Self) -> Vec<Arc<Endpoint>> {
        match upstream {
            Upstream::Served(served) => served
                .endpoints
                .iter()
                .filter_map(|url| Endpoint::served(url, served, self.state(url, previous)))
                .map(Arc::new)
                .collect(),
            Upstream::Provider(provider, _) => {
                Endpoint::provider(provider, self.state(&provider.url, previous))
                    .map(Arc::new)
                    .into_iter()
                    .collect()
            }
        }
    }

    fn state(&mut self, url: &url::Url, previous: &Self) -> Arc<State> {
        let name: Arc<str> = endpoint::name(url).into();
        let before = || previous.states.get(&name).map(Arc::clone).unwrap_or_default();
        Arc::clone(self.states.entry(Arc::clone(&name)).or_insert_with(before))
    }
}

impl RouteEntry {
    fn new(
        label: Arc<str>,
        route: &Route,
        endpoints: Vec<Arc<Endpoint>>,
        previous: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        let running = previous.map(|entry| entry.running.clone()).unwrap_or_default();
        Arc::new(Self { label, route: route.clone(), endpoints, running, meters: OnceLock::new() })
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

#[cfg(test)]
mod tests;
