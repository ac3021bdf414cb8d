//! Applies changes to the active snapshot.

use super::{RejectedRoutes, Snapshot};
use crate::auth::key_verifier::KeyEntry;
use arc_swap::ArcSwap;
use llm_contract::{
    KeyId, Route, Settings, Table,
    push::{Kind, Name, Resource},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    mem,
    sync::{Arc, Mutex, PoisonError},
};

/// The resource name of the routes of a whole table.
const WHOLE: &str = "";

/// The active snapshot.
pub struct Tables {
    active: ArcSwap<Snapshot>,
    /// Locked while a snapshot is made, so that no change is lost.
    rejected: Mutex<RoutesByResource>,
}

/// Routes that are rejected until their models are free.
type RoutesByResource = BTreeMap<Arc<str>, Vec<Route>>;

impl Tables {
    /// Without keys and models.
    pub fn empty() -> Self {
        Self { active: ArcSwap::from_pointee(Snapshot::default()), rejected: Mutex::default() }
    }

    /// Whether there has been a table.
    pub fn is_loaded(&self) -> bool {
        self.active.load().is_loaded
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.active.load_full()
    }

    /// Replaces everything; running requests keep their snapshot.
    pub fn update(&self, table: Table) {
        // Issuers are applied by the token verifier.
        let Table { revision: _, routes, keys, issuers: _, settings } = table;
        let stay: HashSet<KeyId> = keys.iter().map(|record| record.id).collect();
        let before = self.snapshot();
        let removed = before.keys.keys().filter(|id| !stay.contains(*id));
        let removed = removed.map(|id| (key(*id), None));
        let keys = keys.into_iter().map(|it| (key(it.id), Some(Resource::Key(Box::new(it)))));
        let others = [
            (Name::new(Kind::Settings, ""), Some(Resource::Settings(settings))),
            (Name::new(Kind::Routes, WHOLE), Some(Resource::Routes(routes))),
        ];
        // A parsed table has no duplicate models, so that nothing is rejected.
        self.apply(removed.chain(keys).chain(others).collect());
    }

    /// Applies new versions of resources, or removes them; running requests keep their snapshot.
    /// All replaced routes free their models first, so that two resources may swap models.
    /// Returns all routes that are rejected now, of this change or earlier ones.
    pub fn apply(&self, changes: Vec<(Name, Option<Resource>)>) -> Vec<RejectedRoutes> {
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.snapshot();
        let mut next = Snapshot::clone(&before);
        next.is_loaded = true;
        // Routes that were rejected are tried again.
        let mut candidates = mem::take(&mut *rejected);
        for (name, resource) in changes {
            match (name.kind, resource) {
                (_, Some(Resource::Settings(settings))) => next.settings = settings,
                (Kind::Settings, None) => next.settings = Settings::default(),
                // Applied by the token verifier.
                (_, Some(Resource::Issuers(_))) | (Kind::Issuers, None) => {}
                (_, Some(Resource::Key(record))) => {
                    let id = record.id;
                    next.keys.insert(id, KeyEntry::new(*record, before.keys.get(&id)));
                }
                (Kind::Key, None) => {
                    if let Ok(id) = KeyId::parse(&name.name) {
                        next.keys.remove(&id);
                    }
                }
                (_, Some(Resource::Routes(routes))) => {
                    candidates.insert(name.name, routes);
                }
                (Kind::Routes, None) => {
                    candidates.remove(&name.name);
                    next.remove(&name.name);
                }
            }
        }
        let reasons = next.insert_all(candidates, &mut rejected, &before);
        self.active.store(Arc::new(next));
        reasons
    }
}

impl Snapshot {
    /// Inserts as many of the candidates as possible; the others go to `rejected`.
    fn insert_all(
        &mut self,
        candidates: RoutesByResource,
        rejected: &mut RoutesByResource,
        before: &Self,
    ) -> Vec<RejectedRoutes> {
        let remove = |name: &Arc<str>| Some((Arc::clone(name), self.remove(name)?));
        let last_good: HashMap<_, _> = candidates.keys().filter_map(remove).collect();
        let mut reasons = Vec::new();
        for (name, routes) in candidates {
            if let Err(conflict) = self.insert(&name, routes.iter(), before) {
                let resource = Name::new(Kind::Routes, Arc::clone(&name));
                reasons.push(RejectedRoutes { name: resource, conflict, keeps_last: false });
                rejected.insert(name, routes);
            }
        }
        // Current routes take precedence over last good ones.
        for RejectedRoutes { name, keeps_last, .. } in &mut reasons {
            *keeps_last = last_good.get(&name.name).is_some_and(|entries| {
                let routes = entries.iter().map(|entry| &entry.route);
                self.insert(&name.name, routes, before).is_ok()
            });
        }
        reasons
    }
}

fn key(id: KeyId) -> Name {
    Name::new(Kind::Key, id.as_str())
}

#[cfg(test)]
mod tests;
