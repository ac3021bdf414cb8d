//! Who has an id that several want: a served model before a provider, the older before the newer.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use llm_contract::ResourceName;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A kind of custom resource that declares models. In the order in which they win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Declares {
    /// LLMModel.
    Served,
    /// PassthroughModel.
    Provider,
}

/// Somebody who wants an id. The least of all that want it has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claimant {
    kind: Declares,
    created: Option<Timestamp>,
    name: ResourceName,
}

/// Who wants which id.
#[derive(Default)]
pub(super) struct Claims {
    by_id: HashMap<String, BTreeSet<Claimant>>,
    by_name: HashMap<ResourceName, BTreeMap<String, Claimant>>,
}

impl Claimant {
    pub(super) fn new(kind: Declares, metadata: &ObjectMeta, name: &ResourceName) -> Self {
        let created = metadata.creation_timestamp.as_ref().map(|it| it.0);
        Self { kind, created, name: name.clone() }
    }
}

impl Claims {
    /// Puts these claims in the place of all that a resource had. Says which others are concerned.
    pub(super) fn replace(
        &mut self,
        name: &ResourceName,
        wanted: Vec<(String, Claimant)>,
    ) -> BTreeSet<ResourceName> {
        let wanted: BTreeMap<_, _> = wanted.into_iter().collect();
        let before = self.by_name.remove(name).unwrap_or_default();
        let mut concerned = BTreeSet::new();
        for (id, claimant) in &before {
            if wanted.get(id) != Some(claimant) {
                let winner = self.first(id);
                if let Some(claimants) = self.by_id.get_mut(id) {
                    claimants.remove(claimant);
                }
                self.concern(id, winner.as_ref(), &mut concerned);
            }
        }
        for (id, claimant) in &wanted {
            if before.get(id) != Some(claimant) {
                let winner = self.first(id);
                self.by_id.entry(id.clone()).or_default().insert(claimant.clone());
                self.concern(id, winner.as_ref(), &mut concerned);
            }
        }
        if !wanted.is_empty() {
            self.by_name.insert(name.clone(), wanted);
        }
        concerned
    }

    /// Who has an id in the place of this resource, if it is not the resource itself.
    pub(super) fn winner(
        &self,
        kind: Declares,
        name: &ResourceName,
        id: &str,
    ) -> Option<ResourceName> {
        let first = self.by_id.get(id)?.first()?;
        (first.kind != kind || first.name != *name).then(|| first.name.clone())
    }

    fn first(&self, id: &str) -> Option<Claimant> {
        self.by_id.get(id).and_then(|claimants| claimants.first().cloned())
    }

    /// When an id changes hands, everyone who wants it is told who has it now.
    fn concern(
        &mut self,
        id: &str,
        before: Option<&Claimant>,
        concerned: &mut BTreeSet<ResourceName>,
    ) {
        let Some(claimants) = self.by_id.get(id) else { return };
        if claimants.is_empty() {
            self.by_id.remove(id);
        } else if claimants.first() != before {
            concerned.extend(claimants.iter().map(|it| it.name.clone()));
        }
    }
}
