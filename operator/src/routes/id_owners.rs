//! Which resource owns a model id that several declare.
//!
//! Served models take precedence over providers, and older resources over newer ones.

use crate::{cluster_state::ModelKind, multimap::MultiMap};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use llm_contract::ResourceName;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A resource that declares an id; the least of them owns it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Contender {
    kind: ModelKind,
    created: Option<Timestamp>,
    name: ResourceName,
}

#[derive(Default)]
pub(super) struct IdOwners {
    by_id: MultiMap<String, Contender>,
    by_name: HashMap<ResourceName, BTreeMap<String, Contender>>,
}

impl Contender {
    pub(super) fn new(kind: ModelKind, metadata: &ObjectMeta, name: &ResourceName) -> Self {
        let created = metadata.creation_timestamp.as_ref().map(|it| it.0);
        Self { kind, created, name: name.clone() }
    }
}

impl IdOwners {
    /// Replaces the ids that a resource declares. Returns all contenders for ids that got
    /// another owner.
    pub(super) fn replace(
        &mut self,
        name: &ResourceName,
        declared: Vec<(String, Contender)>,
    ) -> BTreeSet<ResourceName> {
        let declared: BTreeMap<_, _> = declared.into_iter().collect();
        let before = self.by_name.remove(name).unwrap_or_default();
        let ids: BTreeSet<_> = before.keys().chain(declared.keys()).collect();
        let owners: Vec<_> = ids.iter().map(|id| self.by_id.get(*id).next().cloned()).collect();
        for (id, contender) in &before {
            self.by_id.remove(id, contender);
        }
        for (id, contender) in &declared {
            self.by_id.insert(id.clone(), contender.clone());
        }
        let changed = ids.into_iter().zip(&owners);
        let changed = changed.filter(|(id, owner)| self.by_id.get(*id).next() != owner.as_ref());
        let affected = changed.flat_map(|(id, _)| self.by_id.get(id).map(|it| it.name.clone()));
        let affected = affected.collect();
        if !declared.is_empty() {
            self.by_name.insert(name.clone(), declared);
        }
        affected
    }

    /// The owner of an id, if it is another resource.
    pub(super) fn other_owner(
        &self,
        kind: ModelKind,
        name: &ResourceName,
        id: &str,
    ) -> Option<ResourceName> {
        let owner = self.by_id.get(id).next()?;
        (owner.kind != kind || owner.name != *name).then(|| owner.name.clone())
    }
}
