//! A cache of the objects of one kind.

use llm_contract::ResourceName;
use parking_lot::RwLock;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// A cache of the objects of one kind, by `namespace/name`. Cheap to clone.
///
/// It knows the version of each object, so that a new list, read because a watch broke or its
/// resource version expired, changes only what differs.
#[derive(Debug)]
pub struct Store<T>(Arc<RwLock<HashMap<ResourceName, Versioned<T>>>>);

#[derive(Debug)]
struct Versioned<T> {
    version: Box<str>,
    object: Arc<T>,
}

impl<T> Store<T> {
    pub fn get(&self, name: &ResourceName) -> Option<Arc<T>> {
        self.0.read().get(name).map(|entry| Arc::clone(&entry.object))
    }

    pub fn contains(&self, name: &ResourceName) -> bool {
        self.0.read().contains_key(name)
    }

    pub fn version(&self, name: &ResourceName) -> Option<Box<str>> {
        self.0.read().get(name).map(|entry| entry.version.clone())
    }

    pub fn names(&self) -> Vec<ResourceName> {
        self.0.read().keys().cloned().collect()
    }

    pub fn select(&self, is_wanted: impl Fn(&ResourceName, &T) -> bool) -> Vec<ResourceName> {
        let entries = self.0.read();
        let selected = entries.iter().filter(|(name, entry)| is_wanted(name, &entry.object));
        selected.map(|(name, _)| name.clone()).collect()
    }

    /// Returns the version that was there before.
    pub(super) fn insert(
        &self,
        name: ResourceName,
        version: &str,
        object: Arc<T>,
    ) -> Option<Arc<T>> {
        let entry = Versioned { version: version.into(), object };
        self.0.write().insert(name, entry).map(|entry| entry.object)
    }

    pub(super) fn remove(&self, name: &ResourceName) -> Option<Arc<T>> {
        self.0.write().remove(name).map(|entry| entry.object)
    }

    /// The names in a namespace, or in all, that are not listed.
    pub(super) fn names_except(
        &self,
        namespace: Option<&str>,
        listed: &HashSet<ResourceName>,
    ) -> Vec<ResourceName> {
        let is_in_scope = |name: &ResourceName| namespace.is_none_or(|it| it == name.namespace());
        self.select(|name, _| is_in_scope(name) && !listed.contains(name))
    }
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Store<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
