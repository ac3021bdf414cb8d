//! Everything a request is decided by, in maps that share what does not change with the snapshots
//! before and after.

use super::{Conflict, RouteEntry, entry};
use crate::{
    auth::key_verifier::KeyEntry,
    upstream::{
        Endpoint,
        endpoint::{self, EndpointState},
    },
};
use hashbrown::DefaultHashBuilder;
use imbl::{GenericHashMap, OrdMap, shared_ptr::DefaultSharedPtr};
use llm_contract::{KeyId, ModelId, Route, Settings, Upstream};
use std::{collections::HashSet, sync::Arc};

type Map<K, V> = GenericHashMap<K, V, DefaultHashBuilder, DefaultSharedPtr>;
type Entries = Arc<[Arc<RouteEntry>]>;

/// Everything a request is decided by.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// Keys by their public part.
    pub keys: Map<KeyId, Arc<KeyEntry>>,
    /// What applies to every route.
    pub settings: Settings,
    /// Whether a table has come.
    pub has_come: bool,
    names: Map<ModelId, Claims>,
    catch_all: Option<Arc<RouteEntry>>,
    /// Each model that is reached by its own id.
    listed: OrdMap<ModelId, Arc<RouteEntry>>,
    /// By the resource that declares them.
    resources: Map<Arc<str>, Entries>,
    states: Map<Arc<str>, Shared>,
}

/// Who has a name. A served model goes before a provider's.
#[derive(Clone, Default)]
struct Claims {
    served: Option<Arc<RouteEntry>>,
    provider: Option<Arc<RouteEntry>>,
}

/// How an endpoint is doing, for all routes that lead to it.
#[derive(Clone)]
struct Shared {
    state: Arc<EndpointState>,
    endpoints: usize,
}

impl Snapshot {
    /// Which route serves a model: served models before providers', those before a catch-all.
    pub fn route(&self, model: &str) -> Option<&Arc<RouteEntry>> {
        self.names.get(model).and_then(Claims::first).or(self.catch_all.as_ref())
    }

    /// Routes that are listed: each once, in the order of their ids.
    pub fn listed(&self) -> impl ExactSizeIterator<Item = &Arc<RouteEntry>> {
        self.listed.values()
    }

    /// Every endpoint of every route.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.resources.values().flat_map(|it| it.iter()).flat_map(|entry| &entry.endpoints)
    }

    /// How many custom resources have routes in force.
    pub fn resources(&self) -> usize {
        self.resources.len()
    }

    /// Takes the routes of a resource out of force.
    pub(super) fn withdraw(&mut self, resource: &str) -> Option<Entries> {
        let entries = self.resources.remove(resource)?;
        for entry in entries.iter() {
            self.claim(&entry.route, None);
            entry.endpoints.iter().for_each(|endpoint| self.release(endpoint));
        }
        Some(entries)
    }

    /// Puts the routes of a resource in force, if all their names are free.
    pub(super) fn admit(
        &mut self,
        resource: &Arc<str>,
        routes: &[Route],
        before: &Self,
    ) -> Result<(), Conflict> {
        self.refuse_taken(routes.iter())?;
        let entries: Entries = routes.iter().map(|route| self.entry(route, before)).collect();
        self.put(resource, entries);
        Ok(())
    }

    /// Puts what was withdrawn back in force, if all its names are still free.
    pub(super) fn readmit(
        &mut self,
        resource: &Arc<str>,
        entries: &Entries,
        before: &Self,
    ) -> Result<(), Conflict> {
        self.refuse_taken(entries.iter().map(|entry| &entry.route))?;
        entries.iter().for_each(|entry| self.hold_all(entry, before));
        self.put(resource, Arc::clone(entries));
        Ok(())
    }

    fn put(&mut self, resource: &Arc<str>, entries: Entries) {
        for entry in entries.iter() {
            self.claim(&entry.route, Some(entry));
        }
        self.resources.insert(Arc::clone(resource), entries);
    }

    fn refuse_taken<'a>(&self, routes: impl Iterator<Item = &'a Route>) -> Result<(), Conflict> {
        let mut seen = HashSet::new();
        for route in routes {
            for name in entry::names(route) {
                let model = || name.map_or("*", ModelId::as_str).to_owned();
                if !seen.insert((entry::is_served(route), name)) {
                    return Err(Conflict::Twice { model: model() });
                }
                let holder = match name {
                    Some(name) => self.names.get(name).and_then(|claims| claims.of(route)),
                    None => self.catch_all.as_ref(),
                };
                if let Some(holder) = holder {
                    return Err(Conflict::Taken { model: model(), by: holder.resource() });
                }
            }
        }
        Ok(())
    }

    /// Gives a route's names to its entry, or frees them.
    fn claim(&mut self, route: &Route, entry: Option<&Arc<RouteEntry>>) {
        for name in entry::names(route) {
            let Some(name) = name else {
                self.catch_all = entry.cloned();
                continue;
            };
            let mut claims = self.names.get(name).cloned().unwrap_or_default();
            *claims.slot(route) = entry.cloned();
            let first = claims.first().filter(|it| entry::id(&it.route) == Some(name));
            match first {
                Some(entry) => self.listed.insert(name.clone(), Arc::clone(entry)),
                None => self.listed.remove(name),
            };
            match claims.first() {
                Some(_) => self.names.insert(name.clone(), claims),
                None => self.names.remove(name),
            };
        }
    }

    /// The entry of a route: the one before, if nothing changed.
    fn entry(&mut self, route: &Route, before: &Self) -> Arc<RouteEntry> {
        let last = before.last(route);
        if let Some(last) = last.filter(|last| last.route == *route) {
            self.hold_all(last, before);
            return Arc::clone(last);
        }
        let endpoints = self.endpoints_of(&route.upstream, before);
        let running = last.map(|entry| entry.running.clone()).unwrap_or_default();
        Arc::new(RouteEntry::new(route.clone(), endpoints, running))
    }

    /// The entry of the same id and kind.
    fn last(&self, route: &Route) -> Option<&Arc<RouteEntry>> {
        let Some(id) = entry::id(route) else {
            return self.catch_all.as_ref();
        };
        self.names.get(id)?.of(route).filter(|it| entry::id(&it.route) == Some(id))
    }

    fn endpoints_of(&mut self, upstream: &Upstream, before: &Self) -> Vec<Arc<Endpoint>> {
        match upstream {
            Upstream::Served(served) => served
                .endpoints
                .iter()
                .filter_map(|url| {
                    Endpoint::served(url, served, self.hold(&endpoint::name(url), before))
                })
                .map(Arc::new)
                .collect(),
            Upstream::Provider(provider, _) => {
                let state = self.hold(&endpoint::name(&provider.url), before);
                Endpoint::provider(provider, state).map(Arc::new).into_iter().collect()
            }
        }
    }

    fn hold_all(&mut self, entry: &RouteEntry, before: &Self) {
        for endpoint in &entry.endpoints {
            self.hold(&endpoint.name, before);
        }
    }

    /// How an endpoint is doing, and one more that wants to know. What was known before goes on.
    fn hold(&mut self, endpoint: &str, before: &Self) -> Arc<EndpointState> {
        let known = self.states.get(endpoint);
        let endpoints = known.map_or(0, |shared| shared.endpoints) + 1;
        let known = known.or_else(|| before.states.get(endpoint));
        let state = known.map(|shared| Arc::clone(&shared.state)).unwrap_or_default();
        let shared = Shared { state: Arc::clone(&state), endpoints };
        self.states.insert(endpoint.into(), shared);
        state
    }

    fn release(&mut self, endpoint: &Endpoint) {
        let Some(shared) = self.states.get_mut(&endpoint.name) else {
            return;
        };
        shared.endpoints -= 1;
        if shared.endpoints == 0 {
            self.states.remove(&endpoint.name);
        }
    }
}

impl Claims {
    fn first(&self) -> Option<&Arc<RouteEntry>> {
        self.served.as_ref().or(self.provider.as_ref())
    }

    /// Who has the name among routes of that kind.
    fn of(&self, route: &Route) -> Option<&Arc<RouteEntry>> {
        if entry::is_served(route) { self.served.as_ref() } else { self.provider.as_ref() }
    }

    fn slot(&mut self, route: &Route) -> &mut Option<Arc<RouteEntry>> {
        if entry::is_served(route) { &mut self.served } else { &mut self.provider }
    }
}

#[cfg(test)]
impl Snapshot {
    /// The endpoints whose state is kept, each with how many routes lead to it.
    pub(super) fn states(&self) -> std::collections::BTreeMap<String, usize> {
        self.states.iter().map(|(name, shared)| (name.to_string(), shared.endpoints)).collect()
    }
}
