//! What was last seen of the objects of one kind.

use llm_contract::ResourceName;
use parking_lot::RwLock;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// What was last seen of the objects of one kind, by `namespace/name`. Cheap to clone.
///
/// A list that is read anew, because a watch broke or its place in history is gone, changes only
/// what differs: objects of the same version are left alone, and those that are missing from the
/// complete list have gone.
#[derive(Debug)]
pub struct Store<V>(Arc<RwLock<HashMap<ResourceName, Entry<V>>>>);

#[derive(Debug)]
struct Entry<V> {
    version: Box<str>,
    value: Arc<V>,
}

impl<V> Store<V> {
    /// What is known of an object.
    pub fn get(&self, name: &ResourceName) -> Option<Arc<V>> {
        self.0.read().get(name).map(|entry| Arc::clone(&entry.value))
    }

    /// Whether an object is there.
    pub fn contains(&self, name: &ResourceName) -> bool {
        self.0.read().contains_key(name)
    }

    /// The version of an object that was seen last.
    pub fn version(&self, name: &ResourceName) -> Option<Box<str>> {
        self.0.read().get(name).map(|entry| entry.version.clone())
    }

    /// All names.
    pub fn names(&self) -> Vec<ResourceName> {
        self.0.read().keys().cloned().collect()
    }

    /// What is known of those that are wanted.
    pub fn select(&self, mut wanted: impl FnMut(&ResourceName, &V) -> bool) -> Vec<Arc<V>> {
        let entries = self.0.read();
        let found = entries.iter().filter(|(name, entry)| wanted(name, &entry.value));
        found.map(|(_, entry)| Arc::clone(&entry.value)).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.read().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }

    /// Puts an object in, and gives what was there.
    pub(super) fn put(&self, name: ResourceName, version: &str, value: Arc<V>) -> Option<Arc<V>> {
        let entry = Entry { version: version.into(), value };
        self.0.write().insert(name, entry).map(|entry| entry.value)
    }

    /// Takes an object out.
    pub(super) fn remove(&self, name: &ResourceName) -> Option<Arc<V>> {
        self.0.write().remove(name).map(|entry| entry.value)
    }

    /// The names in a namespace, or anywhere, that are not among these.
    pub(super) fn others(
        &self,
        namespace: Option<&str>,
        these: &HashSet<ResourceName>,
    ) -> Vec<ResourceName> {
        let entries = self.0.read();
        let there = entries.keys().filter(|name| namespace.is_none_or(|it| it == name.namespace()));
        there.filter(|name| !these.contains(*name)).cloned().collect()
    }
}

impl<V> Default for Store<V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<V> Clone for Store<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
