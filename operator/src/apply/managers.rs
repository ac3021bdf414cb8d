//! Takes over the fields of objects that the older pack wrote.
//!
//! It overwrote objects whole, so that it still holds every field it ever set. Server-side apply
//! would then never remove one: we would give up a field that the older pack goes on holding. So
//! its fields become ours first, and our next write gives up what we do not plan.

use crate::{cluster_state::live::is_older, labels::FIELD_MANAGER};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use kube::{
    Api, Error, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

/// Makes the older pack's fields of an object ours, and of no other that has its name. If the
/// object changes meanwhile it fails, and is tried again like everything.
pub(super) async fn take_over(
    api: &Api<DynamicObject>,
    name: &str,
    uid: &str,
) -> Result<(), Error> {
    let object = api.get_opt(name).await?.filter(|it| it.metadata.uid.as_deref() == Some(uid));
    let Some(object) = object else { return Ok(()) };
    let version = object.resource_version();
    let managers = object.metadata.managed_fields.unwrap_or_default();
    let patch = json!({"metadata": {
        "resourceVersion": version,
        "managedFields": taken_over(managers),
    }});
    api.patch_metadata(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    tracing::info!(name, "an object of the older pack is ours now");
    Ok(())
}

/// The same managers, with ours in place of the older pack's.
fn taken_over(managers: Vec<ManagedFieldsEntry>) -> Vec<ManagedFieldsEntry> {
    let (older, mut others): (Vec<_>, Vec<_>) = managers.into_iter().partition(is_older);
    for mut entry in older {
        let fields = entry.fields_v1.take();
        match others.iter_mut().find(|entry| is_ours(entry)) {
            Some(ours) => ours.fields_v1 = union(ours.fields_v1.take(), fields),
            None => others.push(ManagedFieldsEntry {
                manager: Some(FIELD_MANAGER.into()),
                operation: Some("Apply".into()),
                fields_v1: fields,
                ..entry
            }),
        }
    }
    others
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER)
        && entry.operation.as_deref() == Some("Apply")
        && entry.subresource.is_none()
}

fn union(one: Option<FieldsV1>, other: Option<FieldsV1>) -> Option<FieldsV1> {
    let (Some(FieldsV1(mut one)), Some(FieldsV1(other))) = (one.clone(), other.clone()) else {
        return one.or(other);
    };
    add(&mut one, other);
    Some(FieldsV1(one))
}

/// A set of fields is a tree of objects, so that the union is the tree of both.
fn add(set: &mut Value, more: Value) {
    if let (Value::Object(set), Value::Object(more)) = (set, more) {
        for (field, more) in more {
            add(set.entry(field).or_insert_with(|| json!({})), more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, operation: &str, fields: Value) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(manager.into()),
            operation: Some(operation.into()),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }
    }

    #[test]
    fn what_the_older_pack_held_is_ours() {
        let taken = taken_over(vec![
            entry("manager", "Update", json!({"f:spec": {"f:replicas": {}}})),
            entry("kube-controller-manager", "Update", json!({"f:status": {}})),
        ]);
        let managers: Vec<_> =
            taken.iter().map(|entry| entry.manager.as_deref().unwrap()).collect();
        assert_eq!(managers, ["kube-controller-manager", FIELD_MANAGER]);
        assert_eq!(taken[1].operation.as_deref(), Some("Apply"));
    }

    #[test]
    fn what_both_hold_after_going_back_and_forth_is_held_once() {
        let taken = taken_over(vec![
            entry("manager", "Update", json!({"f:spec": {"f:replicas": {}, "f:paused": {}}})),
            entry(FIELD_MANAGER, "Apply", json!({"f:spec": {"f:replicas": {}, "f:template": {}}})),
        ]);
        let [ours] = taken.as_slice() else { panic!("{taken:?}") };
        let all = json!({"f:spec": {"f:replicas": {}, "f:paused": {}, "f:template": {}}});
        assert_eq!(ours.fields_v1, Some(FieldsV1(all)));
    }
}
