//! The objects the operator applied, as they are in the cluster.
//!
//! There are many, of several kinds: each is stored as compact JSON, and parsed when it is read.

use crate::{
    cluster_state::Store,
    labels::{KEEP, LEGACY_FIELD_MANAGER, PLAN_HASH},
    multimap::MultiMap,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, OwnerReference};
use kube::{
    ResourceExt as _,
    api::{ApiResource, DynamicObject},
};
use llm_contract::ResourceName;
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Clone, Debug, PartialEq)]
pub struct OwnedObject {
    pub uid: String,
    pub controller: Option<OwnerReference>,
    pub labels: BTreeMap<String, String>,
    pub is_terminating: bool,
    pub plan_hash: Option<String>,
    /// Whether it stays when a later plan does not name it.
    pub keep: bool,
    /// Whether the older pack, which wrote objects whole, still manages fields of it.
    pub has_legacy_manager: bool,
    json: Box<str>,
}

impl OwnedObject {
    pub fn of(mut object: DynamicObject) -> Self {
        let managers = object.metadata.managed_fields.take().unwrap_or_default();
        let mut owners = object.metadata.owner_references.iter().flatten();
        Self {
            uid: object.metadata.uid.clone().unwrap_or_default(),
            controller: owners.find(|owner| owner.controller == Some(true)).cloned(),
            labels: object.metadata.labels.clone().unwrap_or_default(),
            is_terminating: object.metadata.deletion_timestamp.is_some(),
            plan_hash: object.labels().get(PLAN_HASH).cloned(),
            keep: object.annotations().contains_key(KEEP),
            has_legacy_manager: managers.iter().any(is_legacy_manager),
            json: serde_json::to_string(&object).unwrap_or_default().into(),
        }
    }

    pub fn value(&self) -> serde_json::Value {
        self.parse().unwrap_or_default()
    }

    /// `None` if the object is of another kind.
    pub fn parse<K: DeserializeOwned>(&self) -> Option<K> {
        serde_json::from_str(&self.json).ok()
    }
}

pub(crate) fn is_legacy_manager(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(LEGACY_FIELD_MANAGER)
        && entry.operation.as_deref() == Some("Update")
        && entry.subresource.is_none()
}

/// A kind of objects the operator applies.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedKind {
    pub resource: ApiResource,
    /// Whether it is a custom kind that may not be installed.
    pub optional: bool,
}

/// All objects the operator applied. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct OwnedObjects(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    kinds: Vec<(OwnedKind, Store<OwnedObject>)>,
    /// Index into `kinds` and name of the objects that a resource controls, by its uid.
    by_controller: RwLock<MultiMap<String, (usize, ResourceName)>>,
}

/// Kind and name of an object.
#[derive(Clone, Debug)]
pub struct OwnedObjectRef {
    pub resource: ApiResource,
    pub name: ResourceName,
}

impl OwnedObjects {
    pub fn of(kinds: Vec<OwnedKind>) -> Self {
        let kinds = kinds.into_iter().map(|kind| (kind, Store::default())).collect();
        Self(Arc::new(Inner { kinds, by_controller: RwLock::default() }))
    }

    /// `None` if the object does not exist, or its kind is not watched.
    pub fn get(&self, resource: &ApiResource, name: &ResourceName) -> Option<Arc<OwnedObject>> {
        let mut kinds = self.0.kinds.iter();
        kinds.find(|(kind, _)| is_same(&kind.resource, resource))?.1.get(name)
    }

    pub fn controlled_by(&self, uid: &str) -> Vec<(OwnedObjectRef, Arc<OwnedObject>)> {
        let by_controller = self.0.by_controller.read();
        let objects = by_controller.get(uid).filter_map(|(kind, name)| {
            let (kind, store) = self.0.kinds.get(*kind)?;
            let (resource, name) = (kind.resource.clone(), name.clone());
            Some((OwnedObjectRef { resource, name: name.clone() }, store.get(&name)?))
        });
        objects.collect()
    }

    pub(super) fn kinds(&self) -> &[(OwnedKind, Store<OwnedObject>)] {
        &self.0.kinds
    }

    pub(super) fn update_index(
        &self,
        kind: usize,
        name: &ResourceName,
        old: Option<&Arc<OwnedObject>>,
        new: Option<&Arc<OwnedObject>>,
    ) {
        let uid = |object: Option<&Arc<OwnedObject>>| Some(object?.controller.clone()?.uid);
        let (old, new) = (uid(old), uid(new));
        if old == new {
            return;
        }
        let (mut by_controller, object) = (self.0.by_controller.write(), (kind, name.clone()));
        if let Some(old) = old {
            by_controller.remove(&old, &object);
        }
        if let Some(new) = new {
            by_controller.insert(new, object);
        }
    }
}

/// The name of the definition of a custom kind.
pub(super) fn definition_of(resource: &ApiResource) -> String {
    format!("{}.{}", resource.plural, resource.group)
}

fn is_same(one: &ApiResource, other: &ApiResource) -> bool {
    one.group == other.group && one.kind == other.kind
}
