//! The objects we wrote, as they are now.
//!
//! Their kinds differ and there are many of them, so that each is kept as compact JSON and read
//! only when somebody looks at it.

use crate::{
    cluster_state::Store,
    labels::{KEEP, LEGACY_FIELD_MANAGER, PLAN_HASH},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, OwnerReference};
use kube::{
    ResourceExt as _,
    api::{ApiResource, DynamicObject},
};
use llm_contract::ResourceName;
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// An object as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// Which one of all that had or will have its name.
    pub uid: String,
    /// Whose it is.
    pub controller: Option<OwnerReference>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The hash of the plan it was last written by.
    pub plan_hash: Option<String>,
    /// Whether it stays when a later plan does not name it.
    pub keep: bool,
    /// Whether the older pack, which overwrote what others wrote, still holds fields of it.
    pub held_by_older: bool,
    json: Box<str>,
}

impl Live {
    /// Reads an object.
    pub fn of(mut object: DynamicObject) -> Self {
        let managers = object.metadata.managed_fields.take().unwrap_or_default();
        let held_by_older = managers.iter().any(is_older);
        let owners = object.metadata.owner_references.iter().flatten();
        Self {
            uid: object.metadata.uid.clone().unwrap_or_default(),
            controller: owners.into_iter().find(|owner| owner.controller == Some(true)).cloned(),
            labels: object.metadata.labels.clone().unwrap_or_default(),
            deleting: object.metadata.deletion_timestamp.is_some(),
            plan_hash: object.labels().get(PLAN_HASH).cloned(),
            keep: object.annotations().contains_key(KEEP),
            held_by_older,
            json: serde_json::to_string(&object).unwrap_or_default().into(),
        }
    }

    /// The whole object.
    pub fn value(&self) -> serde_json::Value {
        self.parse().unwrap_or_default()
    }

    /// The object as one of its kind; `None` if it is of another.
    pub fn parse<K: DeserializeOwned>(&self) -> Option<K> {
        serde_json::from_str(&self.json).ok()
    }
}

/// Whether a manager is the older pack's, which wrote objects whole.
pub(crate) fn is_older(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(LEGACY_FIELD_MANAGER)
        && entry.operation.as_deref() == Some("Update")
        && entry.subresource.is_none()
}

/// A kind of objects that is watched.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveKind {
    /// How the API names it.
    pub resource: ApiResource,
    /// Whether it is there only if a custom resource definition is.
    pub optional: bool,
}

/// All objects we wrote. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct LiveObjects(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    kinds: Vec<(LiveKind, Store<Live>)>,
    /// Which objects of which kind a resource controls, by the uid of the resource.
    controlled: RwLock<HashMap<String, HashSet<(usize, ResourceName)>>>,
}

/// Where an object is: of which kind, and its name.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its kind.
    pub resource: ApiResource,
    /// Its name.
    pub name: ResourceName,
}

impl LiveObjects {
    /// Objects of these kinds.
    pub fn of(kinds: Vec<LiveKind>) -> Self {
        let kinds = kinds.into_iter().map(|kind| (kind, Store::default())).collect();
        Self(Arc::new(Inner { kinds, controlled: RwLock::default() }))
    }

    /// The kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &LiveKind> {
        self.0.kinds.iter().map(|(kind, _)| kind)
    }

    /// An object, if its kind is watched and it is there.
    pub fn get(&self, resource: &ApiResource, name: &ResourceName) -> Option<Arc<Live>> {
        self.store(resource)?.get(name)
    }

    /// All objects of a kind.
    pub fn store(&self, resource: &ApiResource) -> Option<&Store<Live>> {
        let (_, store) = self.0.kinds.iter().find(|(kind, _)| same(&kind.resource, resource))?;
        Some(store)
    }

    /// The objects that a resource controls.
    pub fn controlled_by(&self, uid: &str) -> Vec<(Place, Arc<Live>)> {
        let places = self.0.controlled.read().get(uid).cloned().unwrap_or_default();
        let found = places.into_iter().filter_map(|(kind, name)| {
            let (kind, store) = self.0.kinds.get(kind)?;
            let live = store.get(&name)?;
            Some((Place { resource: kind.resource.clone(), name }, live))
        });
        found.collect()
    }

    /// The objects of all kinds that carry these labels and that nothing controls.
    pub fn labelled(&self, labels: &BTreeMap<String, String>) -> Vec<(Place, Arc<Live>)> {
        let carries =
            |live: &Live| labels.iter().all(|(key, value)| live.labels.get(key) == Some(value));
        let mut found = Vec::new();
        for (LiveKind { resource, .. }, store) in &self.0.kinds {
            for name in store.names() {
                let live =
                    store.get(&name).filter(|live| live.controller.is_none() && carries(live));
                found.extend(live.map(|live| (Place { resource: resource.clone(), name }, live)));
            }
        }
        found
    }

    /// Keeps the index current.
    pub(super) fn moved(
        &self,
        kind: usize,
        name: &ResourceName,
        old: Option<&Live>,
        new: Option<&Live>,
    ) {
        let uid = |live: Option<&Live>| Some(live?.controller.as_ref()?.uid.clone());
        let (old, new) = (uid(old), uid(new));
        if old == new {
            return;
        }
        let mut controlled = self.0.controlled.write();
        if let Some(old) = old
            && let Some(places) = controlled.get_mut(&old)
        {
            places.remove(&(kind, name.clone()));
            if places.is_empty() {
                controlled.remove(&old);
            }
        }
        if let Some(new) = new {
            controlled.entry(new).or_default().insert((kind, name.clone()));
        }
    }

    pub(super) fn at(&self, kind: usize) -> Option<&Store<Live>> {
        self.0.kinds.get(kind).map(|(_, store)| store)
    }
}

fn same(one: &ApiResource, other: &ApiResource) -> bool {
    one.group == other.group && one.kind == other.kind
}
