//! One version of the configuration, in maps that share their unchanged parts with other versions.

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

/// What the decisions about one request are based on.
#[derive(Clone, Default)]
pub struct Snapshot {
    pub keys: Map<KeyId, Arc<KeyEntry>>,
    pub settings: Settings,
    /// Whether there has been a table.
    pub is_loaded: bool,
    /// By ids and aliases.
    names: Map<ModelId, NameOwners>,
    catch_all: Option<Arc<RouteEntry>>,
    /// Each model that its own id leads to.
    listed: OrdMap<ModelId, Arc<RouteEntry>>,
    /// By custom resource.
    resources: Map<Arc<str>, Entries>,
    /// By name of the endpoint.
    states: Map<Arc<str>, RetainedState>,
}

/// The routes of one model id; a served model takes precedence.
#[derive(Clone, Default)]
struct NameOwners {
    served: Option<Arc<RouteEntry>>,
    provider: Option<Arc<RouteEntry>>,
}

/// The state of an endpoint, shared by all routes to it.
#[derive(Clone)]
struct RetainedState {
    state: Arc<EndpointState>,
    /// Routes to the endpoint.
    routes: usize,
}

impl Snapshot {
    /// The route of a model: of a served model, a provider, or a catch-all, in this order.
    pub fn route(&self, model: &str) -> Option<&Arc<RouteEntry>> {
        self.names.get(model).and_then(NameOwners::first).or(self.catch_all.as_ref())
    }

    /// Routes for model lists, ordered by id.
    pub fn listed(&self) -> impl ExactSizeIterator<Item = &Arc<RouteEntry>> {
        self.listed.values()
    }

    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.resources.values().flat_map(|it| it.iter()).flat_map(|entry| &entry.endpoints)
    }

    /// The number of custom resources with routes.
    pub fn resources(&self) -> usize {
        self.resources.len()
    }

    pub(super) fn remove(&mut self, resource: &str) -> Option<Entries> {
        let entries = self.resources.remove(resource)?;
        for entry in entries.iter() {
            self.set_owner(&entry.route, None);
            entry.endpoints.iter().for_each(|endpoint| self.release_state(endpoint));
        }
        Some(entries)
    }

    /// Inserts the routes of a resource, if all their models are free. Entries of unchanged routes
    /// are those of the snapshot before.
    pub(super) fn insert<'a>(
        &mut self,
        resource: &Arc<str>,
        routes: impl Iterator<Item = &'a Route> + Clone,
        before: &Self,
    ) -> Result<(), Conflict> {
        self.check_free(routes.clone())?;
        let entries: Entries = routes.map(|route| self.entry(route, before)).collect();
        for entry in entries.iter() {
            self.set_owner(&entry.route, Some(entry));
        }
        self.resources.insert(Arc::clone(resource), entries);
        Ok(())
    }

    fn check_free<'a>(&self, routes: impl Iterator<Item = &'a Route>) -> Result<(), Conflict> {
        let mut seen = HashSet::new();
        for route in routes {
            for name in entry::names(route) {
                let model = || name.map_or("*", ModelId::as_str).to_owned();
                if !seen.insert((entry::is_served(route), name)) {
                    return Err(Conflict::Duplicate { model: model() });
                }
                let owner = match name {
                    Some(name) => self.names.get(name).and_then(|owners| owners.of_kind(route)),
                    None => self.catch_all.as_ref(),
                };
                if let Some(owner) = owner {
                    return Err(Conflict::Taken { model: model(), owner: owner.resource() });
                }
            }
        }
        Ok(())
    }

    /// Maps the names of a route to its entry, or frees them.
    fn set_owner(&mut self, route: &Route, entry: Option<&Arc<RouteEntry>>) {
        for name in entry::names(route) {
            let Some(name) = name else {
                self.catch_all = entry.cloned();
                continue;
            };
            let mut owners = self.names.get(name).cloned().unwrap_or_default();
            *owners.slot(route) = entry.cloned();
            let Some(first) = owners.first() else {
                self.listed.remove(name);
                self.names.remove(name);
                continue;
            };
            if entry::id(&first.route) == Some(name) {
                self.listed.insert(name.clone(), Arc::clone(first));
            } else {
                self.listed.remove(name);
            }
            self.names.insert(name.clone(), owners);
        }
    }

    fn entry(&mut self, route: &Route, before: &Self) -> Arc<RouteEntry> {
        let last = before.entry_of(route);
        if let Some(last) = last.filter(|last| last.route == *route) {
            for endpoint in &last.endpoints {
                self.retain_state(&endpoint.name, before);
            }
            return Arc::clone(last);
        }
        let endpoints = self.endpoints_of(&route.upstream, before);
        let running = last.map(|entry| entry.running.clone()).unwrap_or_default();
        Arc::new(RouteEntry::new(route.clone(), endpoints, running))
    }

    /// The entry with the id and kind of a route.
    fn entry_of(&self, route: &Route) -> Option<&Arc<RouteEntry>> {
        let Some(id) = entry::id(route) else {
            return self.catch_all.as_ref();
        };
        self.names.get(id)?.of_kind(route).filter(|it| entry::id(&it.route) == Some(id))
    }

    fn endpoints_of(&mut self, upstream: &Upstream, before: &Self) -> Vec<Arc<Endpoint>> {
        match upstream {
            Upstream::Served(served) => {
                let endpoint = |url| {
                    let state = self.retain_state(&endpoint::name(url), before);
                    Endpoint::served(url, served, state).map(Arc::new)
                };
                served.endpoints.iter().filter_map(endpoint).collect()
            }
            Upstream::Provider(provider, _) => {
                let state = self.retain_state(&endpoint::name(&provider.url), before);
                Endpoint::provider(provider, state).map(Arc::new).into_iter().collect()
            }
        }
    }

    /// Counts one more route to an endpoint; its state before is kept.
    fn retain_state(&mut self, endpoint: &str, before: &Self) -> Arc<EndpointState> {
        let known = self.states.get(endpoint);
        let routes = known.map_or(0, |it| it.routes) + 1;
        let known = known.or_else(|| before.states.get(endpoint));
        let state = known.map(|it| Arc::clone(&it.state)).unwrap_or_default();
        self.states.insert(endpoint.into(), RetainedState { state: Arc::clone(&state), routes });
        state
    }

    fn release_state(&mut self, endpoint: &Endpoint) {
        let Some(retained) = self.states.get_mut(&endpoint.name) else {
            return;
        };
        retained.routes -= 1;
        if retained.routes == 0 {
            self.states.remove(&endpoint.name);
        }
    }
}

impl NameOwners {
    fn first(&self) -> Option<&Arc<RouteEntry>> {
        self.served.as_ref().or(self.provider.as_ref())
    }

    /// The owner among routes of the same kind.
    fn of_kind(&self, route: &Route) -> Option<&Arc<RouteEntry>> {
        if entry::is_served(route) { self.served.as_ref() } else { self.provider.as_ref() }
    }

    fn slot(&mut self, route: &Route) -> &mut Option<Arc<RouteEntry>> {
        if entry::is_served(route) { &mut self.served } else { &mut self.provider }
    }
}

#[cfg(test)]
impl Snapshot {
    /// The retained states, each with its number of routes.
    pub(super) fn states(&self) -> std::collections::BTreeMap<String, usize> {
        self.states.iter().map(|(name, it)| (name.to_string(), it.routes)).collect()
    }
}
