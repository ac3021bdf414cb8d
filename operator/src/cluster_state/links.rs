//! Which keys name which models, and which keys they replace.

use llm_contract::ResourceName;
use llm_crd::ApiKeyResource;
use std::collections::{BTreeSet, HashMap};

/// Which keys are to be looked at when a model or another key changes.
#[derive(Debug, Default)]
pub(crate) struct KeyLinks {
    /// By what they name: `namespace/name`, `namespace/*` or `*`.
    by_scope: HashMap<Box<str>, BTreeSet<ResourceName>>,
    /// By the key they replace.
    by_replaced: HashMap<ResourceName, BTreeSet<ResourceName>>,
}

impl KeyLinks {
    /// A key has changed. Gives the keys that it replaces or has replaced.
    pub(crate) fn moved(
        &mut self,
        name: &ResourceName,
        old: Option<&ApiKeyResource>,
        new: Option<&ApiKeyResource>,
    ) -> BTreeSet<ResourceName> {
        let scopes = |key: Option<&ApiKeyResource>| -> BTreeSet<Box<str>> {
            let scopes = key.iter().flat_map(|key| &key.spec.models);
            scopes.map(|scope| scope.as_str().into()).collect()
        };
        let (before, after) = (scopes(old), scopes(new));
        for scope in before.difference(&after) {
            remove(&mut self.by_scope, scope, name);
        }
        for scope in after.difference(&before) {
            self.by_scope.entry(scope.clone()).or_default().insert(name.clone());
        }
        let (before, after) = (replaced(name, old), replaced(name, new));
        if let Some(before) = &before {
            remove(&mut self.by_replaced, before, name);
        }
        if let Some(after) = &after {
            self.by_replaced.entry(after.clone()).or_default().insert(name.clone());
        }
        before.into_iter().chain(after).collect()
    }

    /// The keys that name something.
    pub(crate) fn naming(&self, scope: &str) -> Vec<ResourceName> {
        self.by_scope.get(scope).into_iter().flatten().cloned().collect()
    }

    /// The keys that replace one.
    pub(crate) fn replacing(&self, key: &ResourceName) -> Vec<ResourceName> {
        self.by_replaced.get(key).into_iter().flatten().cloned().collect()
    }
}

fn replaced(name: &ResourceName, key: Option<&ApiKeyResource>) -> Option<ResourceName> {
    let id = &key?.spec.replaces.as_ref()?.id;
    ResourceName::parse(&format!("{}/{id}", name.namespace())).ok()
}

fn remove<K, Q>(map: &mut HashMap<K, BTreeSet<ResourceName>>, key: &Q, name: &ResourceName)
where
    K: std::borrow::Borrow<Q> + std::hash::Hash + Eq,
    Q: std::hash::Hash + Eq + ?Sized,
{
    if let Some(names) = map.get_mut(key) {
        names.remove(name);
        if names.is_empty() {
            map.remove(key);
        }
    }
}
