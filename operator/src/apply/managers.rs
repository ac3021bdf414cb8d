//! Takes over the fields that the first release of the pack manages.
//!
//! It replaced whole objects and so still manages every field it ever set. Server-side apply would
//! never remove one of those, because another manager keeps it. So they become ours first, and our
//! next write gives up what the plan does not contain.

use crate::{cluster_state::is_legacy_manager, labels::FIELD_MANAGER};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use kube::{
    Api, Error, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

/// Takes over the legacy manager's fields of the object with this uid. Fails if the object changes
/// meanwhile; the caller retries.
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
    tracing::info!(name, "took over an object of the first release");
    Ok(())
}

/// The managers, with ours in place of the legacy one.
fn taken_over(managers: Vec<ManagedFieldsEntry>) -> Vec<ManagedFieldsEntry> {
    let (legacy, mut others): (Vec<_>, Vec<_>) = managers.into_iter().partition(is_legacy_manager);
    for mut entry in legacy {
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

/// A set of fields is a tree of objects.
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
    fn fields_of_the_legacy_manager_become_ours() {
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
    fn fields_that_both_managers_hold_are_held_once() {
        let taken = taken_over(vec![
            entry("manager", "Update", json!({"f:spec": {"f:replicas": {}, "f:paused": {}}})),
            entry(FIELD_MANAGER, "Apply", json!({"f:spec": {"f:replicas": {}, "f:template": {}}})),
        ]);
        let [ours] = taken.as_slice() else { panic!("{taken:?}") };
        let all = json!({"f:spec": {"f:replicas": {}, "f:paused": {}, "f:template": {}}});
        assert_eq!(ours.fields_v1, Some(FieldsV1(all)));
    }
}
