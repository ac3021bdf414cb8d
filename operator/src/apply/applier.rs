//! Applies plans.

use super::{
    ApplyError, Object, ObjectRef, covers, delete,
    error::{api_error, write_error},
    force_apply, managers,
    object::{content, merge},
    removals::{removals, without_nulls},
};
use crate::{
    cluster_state::{OwnedObject, OwnedObjectRef, OwnedObjects},
    labels::{FIELD_MANAGER, MANAGED_BY},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use llm_contract::ResourceName;
use serde_json::{Value, json};
use std::{fmt, sync::Arc};

/// The objects of a resource, in the order in which they are applied.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The resource that controls them: they are garbage-collected with it.
    pub owner: OwnerReference,
    pub objects: Vec<Object>,
}

/// Whether the owner of an object about to be created is known to exist.
enum OwnerCheck {
    Pending,
    Confirmed,
}

/// Applies plans. Cheap to clone.
#[derive(Clone)]
pub struct Applier {
    client: Client,
    live: OwnedObjects,
}

impl Applier {
    pub fn new(client: Client, live: OwnedObjects) -> Self {
        Self { client, live }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Applies what differs from the plan and prunes what an older plan contained. Continues after
    /// errors and returns all of them.
    pub async fn apply(&self, plan: &Plan) -> Vec<ApplyError> {
        let mut errors = Vec::new();
        let mut owner_check = OwnerCheck::Pending;
        for object in &plan.objects {
            errors.extend(self.write(&plan.owner, object, &mut owner_check).await.err());
        }
        for (place, live) in self.prunable(plan) {
            errors.extend(self.prune(&place, &live).await.err());
        }
        errors
    }

    /// The live object, from the watch or else from the API server.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub async fn live(
        &self,
        resource: &ApiResource,
        name: &ResourceName,
    ) -> Result<Option<Arc<OwnedObject>>, ApplyError> {
        if let Some(live) = self.live.get(resource, name) {
            return Ok(Some(live));
        }
        let found = self.api(resource, name).get_opt(name.name()).await;
        let found = found.map_err(api_error("reading", resource, name))?;
        Ok(found.map(|object| Arc::new(OwnedObject::of(object))))
    }

    async fn write(
        &self,
        owner: &OwnerReference,
        object: &Object,
        owner_check: &mut OwnerCheck,
    ) -> Result<(), ApplyError> {
        let (resource, name) = (&object.resource, &object.name);
        let live = self.live(resource, name).await?;
        let mut wanted = object.with_hash();
        if let Some(live) = &live {
            check_owner(owner, live, || ObjectRef::new(resource, name))?;
            if live.plan_hash.as_deref() == Some(&object.hash())
                && !live.has_legacy_manager
                && covers(&live.value(), &content(&wanted))
            {
                return Ok(());
            }
            self.prepare(live, object, &wanted).await?;
            merge(&mut wanted, with_uid(live));
        } else if let OwnerCheck::Pending = owner_check {
            self.confirm_owner(owner, object).await?;
            *owner_check = OwnerCheck::Confirmed;
        }
        let api = self.api(resource, name);
        let written = force_apply(&api, name.name(), FIELD_MANAGER, &without_nulls(wanted)).await;
        let written = written.map_err(write_error(live.is_some(), resource, name))?;
        tracing::debug!(kind = resource.kind, %name, version = written.resource_version(), "applied");
        Ok(())
    }

    /// Verifies that the owner still exists. The watches of different kinds are not in sync: a
    /// deleted resource may still be seen when its objects no longer are.
    async fn confirm_owner(
        &self,
        owner: &OwnerReference,
        object: &Object,
    ) -> Result<(), ApplyError> {
        let (group, version) =
            owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
        let of_owner = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &owner.kind));
        let Object { resource, name, .. } = object;
        let found = self.api(&of_owner, name).get_opt(&owner.name).await;
        let found = found.map_err(api_error("reading the owner of", resource, name))?;
        if found.is_some_and(|it| it.uid().as_ref() == Some(&owner.uid)) {
            return Ok(());
        }
        Err(ApplyError::OwnerDeleted {
            object: ObjectRef::new(resource, name),
            owner: format!("{} {}", owner.kind, owner.name),
        })
    }

    /// Does what server-side apply cannot: takes over fields of the first release, and removes
    /// fields that the plan sets to null.
    async fn prepare(
        &self,
        live: &OwnedObject,
        object: &Object,
        wanted: &Value,
    ) -> Result<(), ApplyError> {
        let Object { resource, name, .. } = object;
        let api = self.api(resource, name);
        if live.has_legacy_manager {
            let taken = managers::take_over(&api, name.name(), &live.uid).await;
            taken.map_err(api_error("taking over", resource, name))?;
        }
        if let Some(mut patch) = removals(&live.value(), wanted) {
            merge(&mut patch, with_uid(live));
            let params =
                PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
            let removed = api.patch(name.name(), &params, &Patch::Merge(patch)).await;
            removed.map_err(write_error(true, resource, name))?;
        }
        Ok(())
    }

    /// What an older plan contained and this one does not. What the first release wrote and we
    /// never did is not ours to delete.
    fn prunable(&self, plan: &Plan) -> Vec<(OwnedObjectRef, Arc<OwnedObject>)> {
        let is_planned = |place: &OwnedObjectRef| {
            let mut objects = plan.objects.iter();
            objects.any(|it| it.name == place.name && it.resource.kind == place.resource.kind)
        };
        let mut owned = self.live.controlled_by(&plan.owner.uid);
        owned.retain(|(place, live)| {
            live.plan_hash.is_some() && !live.keep && !live.is_terminating && !is_planned(place)
        });
        owned
    }

    async fn prune(
        &self,
        OwnedObjectRef { resource, name }: &OwnedObjectRef,
        live: &OwnedObject,
    ) -> Result<(), ApplyError> {
        let deleted = delete(&self.api(resource, name), name.name(), &live.uid).await;
        if deleted.map_err(api_error("deleting", resource, name))? {
            tracing::info!(kind = resource.kind, %name, "deleted");
        }
        Ok(())
    }

    fn api(&self, resource: &ApiResource, name: &ResourceName) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), name.namespace(), resource)
    }
}

/// Whether the owner may write an object that exists.
fn check_owner(
    owner: &OwnerReference,
    live: &OwnedObject,
    object: impl Fn() -> ObjectRef,
) -> Result<(), ApplyError> {
    let is_managed = live.labels.get(MANAGED_BY.0).map(String::as_str) == Some(MANAGED_BY.1);
    let other = match &live.controller {
        Some(controller) if controller.uid == owner.uid => None,
        // An earlier resource of the same name; its objects are being garbage-collected.
        Some(controller) if controller.kind == owner.kind && controller.name == owner.name => {
            return Err(ApplyError::Terminating { object: object() });
        }
        Some(controller) => Some(format!("{} {}", controller.kind, controller.name)),
        None if is_managed => None,
        None => Some("another application".into()),
    };
    match other {
        Some(other) => Err(ApplyError::OwnedByOther { object: object(), owner: other }),
        None if live.is_terminating => Err(ApplyError::Terminating { object: object() }),
        None => Ok(()),
    }
}

/// The precondition that a patch changes only the observed object and creates none.
fn with_uid(live: &OwnedObject) -> Value {
    json!({"metadata": {"uid": live.uid}})
}

impl fmt::Debug for Applier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Applier").finish_non_exhaustive()
    }
}
