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

/// Every declared id, and its contenders.
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
        let mut affected = BTreeSet::new();
        for (id, contender) in &before {
            if declared.get(id) != Some(contender) {
                let owner = self.first(id);
                self.by_id.remove(id, contender);
                affected.extend(self.contenders_if_changed(id, owner.as_ref()));
            }
        }
        for (id, contender) in &declared {
            if before.get(id) != Some(contender) {
                let owner = self.first(id);
                self.by_id.insert(id.clone(), contender.clone());
                affected.extend(self.contenders_if_changed(id, owner.as_ref()));
            }
        }
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

    fn first(&self, id: &str) -> Option<Contender> {
        self.by_id.get(id).next().cloned()
    }

    fn contenders_if_changed(&self, id: &str, before: Option<&Contender>) -> Vec<ResourceName> {
        let is_changed = self.by_id.get(id).next() != before;
        let contenders = self.by_id.get(id).filter(|_| is_changed);
        contenders.map(|contender| contender.name.clone()).collect()
    }
}
