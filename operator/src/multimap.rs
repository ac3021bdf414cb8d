//! A map from a key to a set of values.

use std::{
    borrow::Borrow,
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

/// A map from a key to a set of values, in order. A key without values takes no memory.
#[derive(Debug)]
pub(crate) struct MultiMap<K, V>(HashMap<K, BTreeSet<V>>);

impl<K: Hash + Eq, V: Ord> MultiMap<K, V> {
    /// Returns whether this is the first value of the key.
    pub(crate) fn insert(&mut self, key: K, value: V) -> bool {
        let values = self.0.entry(key).or_default();
        let is_first = values.is_empty();
        values.insert(value);
        is_first
    }

    /// Returns whether this was the last value of the key.
    pub(crate) fn remove<Q>(&mut self, key: &Q, value: &V) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Some(values) = self.0.get_mut(key) else { return false };
        values.remove(value);
        let is_empty = values.is_empty();
        if is_empty {
            self.0.remove(key);
        }
        is_empty
    }

    pub(crate) fn set(&mut self, key: &K, value: &V, is_present: bool) -> bool
    where
        K: Clone,
        V: Clone,
    {
        if is_present { self.insert(key.clone(), value.clone()) } else { self.remove(key, value) }
    }

    pub(crate) fn get<'a, Q>(&'a self, key: &Q) -> impl Iterator<Item = &'a V> + use<'a, K, V, Q>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(key).into_iter().flatten()
    }

    pub(crate) fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.contains_key(key)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }
}

impl<K, V> Default for MultiMap<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_value_of_a_key_are_told_apart_from_others() {
        let mut map = MultiMap::default();
        for (key, value, is_present, is_edge) in [
            ("a", 1, true, true),
            ("a", 2, true, false),
            ("b", 1, true, true),
            ("a", 1, false, false),
            ("a", 2, false, true),
            ("a", 2, false, false),
            ("a", 1, true, true),
        ] {
            assert_eq!(map.set(&key, &value, is_present), is_edge, "{key} {value} {is_present}");
            assert_eq!(map.contains_key("b"), map.keys().any(|it| *it == "b"));
        }
    }
}
