//! Indexes keys by the models and the keys they name.

use crate::{cluster_state::names::resource_name, multimap::MultiMap};
use llm_contract::ResourceName;
use llm_crd::ApiKeyResource;
use std::collections::BTreeSet;

/// The keys that depend on a model, or on another key.
#[derive(Debug, Default)]
pub(super) struct KeyIndex {
    /// By entry of `spec.models`: `namespace/name`, `namespace/*` or `*`.
    by_scope: MultiMap<Box<str>, ResourceName>,
    by_replaced: MultiMap<ResourceName, ResourceName>,
}

impl KeyIndex {
    /// Returns the keys that the changed key replaces, or replaced before.
    pub(super) fn update(
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
            self.by_scope.remove(scope, name);
        }
        for scope in after.difference(&before) {
            self.by_scope.insert(scope.clone(), name.clone());
        }
        let (before, after) = (replaced_by(name, old), replaced_by(name, new));
        if let Some(before) = &before {
            self.by_replaced.remove(before, name);
        }
        if let Some(after) = &after {
            self.by_replaced.insert(after.clone(), name.clone());
        }
        before.into_iter().chain(after).collect()
    }

    /// The keys with this entry in `spec.models`.
    pub(super) fn for_scope(&self, scope: &str) -> Vec<ResourceName> {
        self.by_scope.get(scope).cloned().collect()
    }

    pub(super) fn replacing(&self, key: &ResourceName) -> Vec<ResourceName> {
        self.by_replaced.get(key).cloned().collect()
    }
}

fn replaced_by(name: &ResourceName, key: Option<&ApiKeyResource>) -> Option<ResourceName> {
    resource_name(name.namespace(), &key?.spec.replaces.as_ref()?.id)
}
