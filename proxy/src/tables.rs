//! What is in force: one snapshot, swapped whole, made at the cost of what changes.
//!
//! A request takes one snapshot and keeps it. The next one shares with it all that stays; what
//! must survive a change (the requests that run, how an endpoint is doing, keys already verified)
//! is carried over.
//!
//! Routes come by the custom resource that declares them, and are in force whole or not at all. A
//! model's name belongs to one resource among those that serve models, and to one among
//! providers. Who wants a name that is taken waits for it, and keeps in the meantime what it had.

mod entry;
mod snapshot;

pub use entry::RouteEntry;
pub use snapshot::Snapshot;

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

/// The snapshot in force.
pub struct Tables {
    in_force: ArcSwap<Snapshot>,
    /// Routes whose names are taken, by their resource. Held while a snapshot is made, so that no
    /// change is lost to another.
    waiting: Mutex<BTreeMap<Arc<str>, Vec<Route>>>,
}

/// The routes of a resource that cannot be in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The resource.
    pub name: Name,
    /// Why.
    pub conflict: Conflict,
    /// Whether what it had before stays in force.
    pub keeps_last: bool,
}

/// Why the routes of a resource cannot be in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Somebody else was first.
    #[error("the model {model:?} is taken by {by}")]
    Taken {
        /// An id, an alias, or `*`.
        model: String,
        /// Another resource.
        by: Arc<str>,
    },
    /// Which of two would be meant?
    #[error("the model {model:?} is there twice")]
    Twice {
        /// An id, an alias, or `*`.
        model: String,
    },
}

/// All routes of a table that comes whole.
const WHOLE: &str = "";

impl Tables {
    /// Nothing in force: no key is valid and no model exists.
    pub fn empty() -> Self {
        Self { in_force: ArcSwap::from_pointee(Snapshot::default()), waiting: Mutex::default() }
    }

    /// Whether no table has come yet.
    pub fn is_empty(&self) -> bool {
        !self.in_force.load().has_come
    }

    /// What is in force now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.in_force.load_full()
    }

    /// Puts a whole table in force; requests that run keep the one they began with.
    pub fn update(&self, table: Table) {
        // Issuers are in force where tokens are verified.
        let Table { revision: _, routes, keys, issuers: _, settings } = table;
        let stay: HashSet<KeyId> = keys.iter().map(|record| record.id).collect();
        let before = self.snapshot();
        let gone = before.keys.keys().filter(|id| !stay.contains(*id));
        let gone = gone.map(|id| (key(*id), None));
        let keys = keys.into_iter().map(|it| (key(it.id), Some(Resource::Key(Box::new(it)))));
        let others = [
            (Name::new(Kind::Settings, ""), Some(Resource::Settings(settings))),
            (Name::new(Kind::Routes, WHOLE), Some(Resource::Routes(routes))),
        ];
        // A table that was checked has no name twice.
        self.apply(gone.chain(keys).chain(others).collect());
    }

    /// Puts new versions of these resources in force, or ends them; requests that run keep what
    /// they began with. All that is replaced frees its names first, so that two may swap them.
    /// Says whose routes are refused now, be it for this change or for one before.
    pub fn apply(&self, changes: Vec<(Name, Option<Resource>)>) -> Vec<Refused> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.snapshot();
        let mut next = Snapshot::clone(&before);
        next.has_come = true;
        for (name, resource) in changes {
            match resource {
                Some(Resource::Settings(settings)) => next.settings = settings,
                // In force where tokens are verified.
                Some(Resource::Issuers(_)) => {}
                Some(Resource::Key(record)) => {
                    let id = record.id;
                    next.keys.insert(id, KeyEntry::new(*record, before.keys.get(&id)));
                }
                Some(Resource::Routes(routes)) => {
                    waiting.insert(name.name, routes);
                }
                None => next.end(&name, &mut waiting),
            }
        }
        let refused = next.admit_all(&mut waiting, &before);
        self.in_force.store(Arc::new(next));
        refused
    }
}

impl Snapshot {
    fn end(&mut self, name: &Name, waiting: &mut BTreeMap<Arc<str>, Vec<Route>>) {
        match name.kind {
            Kind::Settings => self.settings = Settings::default(),
            Kind::Issuers => {}
            Kind::Key => {
                if let Ok(id) = KeyId::parse(&name.name) {
                    self.keys.remove(&id);
                }
            }
            Kind::Routes => {
                waiting.remove(&name.name);
                self.withdraw(&name.name);
            }
        }
    }

    /// Puts in force what waits, as far as it can be; the rest goes on waiting.
    fn admit_all(
        &mut self,
        waiting: &mut BTreeMap<Arc<str>, Vec<Route>>,
        before: &Self,
    ) -> Vec<Refused> {
        let candidates = mem::take(waiting);
        let withdraw = |name: &Arc<str>| Some((Arc::clone(name), self.withdraw(name)?));
        let last: HashMap<_, _> = candidates.keys().filter_map(withdraw).collect();
        let mut refused = Vec::new();
        for (name, routes) in candidates {
            if let Err(conflict) = self.admit(&name, &routes, before) {
                let resource = Name::new(Kind::Routes, Arc::clone(&name));
                refused.push(Refused { name: resource, conflict, keeps_last: false });
                waiting.insert(name, routes);
            }
        }
        // What is wanted goes before what is only kept.
        for refused in &mut refused {
            let name = &refused.name.name;
            let last = last.get(name);
            refused.keeps_last = last.is_some_and(|last| self.readmit(name, last, before).is_ok());
        }
        refused
    }
}

fn key(id: KeyId) -> Name {
    Name::new(Kind::Key, id.as_str())
}

#[cfg(test)]
mod tests;
