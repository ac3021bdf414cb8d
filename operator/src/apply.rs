//! Writes a plan to the cluster, and takes back what the plan no longer names.
//!
//! Everything is written by server-side apply: fields that others own stay as they are, fields of
//! ours are put right. What is as planned already is not written. It knows no kind by name.

mod covers;
mod managers;
mod object;
mod removals;

pub use covers::covers;
pub use object::Object;

use crate::{
    cluster_state::{Live, LiveObjects, Place},
    labels::{FIELD_MANAGER, MANAGED_BY},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api, Client, ResourceExt as _,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams,
        Preconditions, PropagationPolicy,
    },
};
use llm_contract::ResourceName;
use removals::{removals, without_nulls};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// The objects that something needs, in the order in which they are written.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whose they are.
    pub owner: Owner,
    /// The objects.
    pub objects: Vec<Object>,
}

/// Whose objects are. Objects of somebody else are never written.
#[derive(Clone, Debug)]
pub enum Owner {
    /// A resource that controls them, so that they go when it goes.
    Resource(OwnerReference),
    /// The installation itself: objects with these labels are its own.
    Installation(BTreeMap<String, String>),
}

/// Whether an object that is missing is made.
enum Makes {
    /// First it is asked whether its owner is there.
    Ask,
    /// It is.
    Go,
}

/// Why an object was not written.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It belongs to somebody else.
    #[error(
        "{what} is there already and belongs to {whose}: rename this resource, or remove that object"
    )]
    Foreign {
        /// Kind and name.
        what: What,
        /// Who.
        whose: String,
    },
    /// What has its name is being deleted.
    #[error("{what} is still being deleted")]
    Leaving {
        /// Kind and name.
        what: What,
    },
    /// It has gone, or another one has its name, and the news of that has not come yet.
    #[error("{what} is not there any more as it was seen")]
    Outdated {
        /// Kind and name.
        what: What,
        /// What came back.
        source: kube::Error,
    },
    /// The API server said no, or nothing.
    #[error("{action} {what}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// Kind and name.
        what: What,
        /// What came back.
        source: kube::Error,
    },
    /// What it would be for has gone, and the news of that has not come yet.
    #[error("{what} is not made: {owner} has gone")]
    OwnerGone {
        /// Kind and name.
        what: What,
        /// Whose it would be.
        owner: String,
    },
}

/// An object, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct What {
    kind: String,
    name: ResourceName,
}

/// Writes plans. Cheap to clone.
#[derive(Clone)]
pub struct Applier {
    client: Client,
    live: LiveObjects,
}

impl Applier {
    /// Writes with a client, and compares with what is live.
    pub fn new(client: Client, live: LiveObjects) -> Self {
        Self { client, live }
    }

    /// The client, for what is no plan.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Writes what differs from the plan, and removes what was written by an older plan and is not
    /// in this one. Goes on after an error, and gives all of them.
    pub async fn apply(&self, plan: &Plan) -> Vec<ApplyError> {
        let mut errors = Vec::new();
        let mut makes = Makes::Ask;
        for object in &plan.objects {
            if let Err(error) = self.write(&plan.owner, object, &mut makes).await {
                errors.push(error);
            }
        }
        for place in self.left_over(plan) {
            if let Err(error) = self.remove(&place).await {
                errors.push(error);
            }
        }
        errors
    }

    /// What is live of an object; asks the API server if it is not watched or not seen.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub async fn live(
        &self,
        resource: &ApiResource,
        name: &ResourceName,
    ) -> Result<Option<Arc<Live>>, ApplyError> {
        if let Some(live) = self.live.get(resource, name) {
            return Ok(Some(live));
        }
        let found = self.api(resource, name).get_opt(name.name()).await;
        let found = found.map_err(api_error("reading", resource, name))?;
        Ok(found.map(|object| Arc::new(Live::of(object))))
    }

    async fn write(
        &self,
        owner: &Owner,
        object: &Object,
        makes: &mut Makes,
    ) -> Result<(), ApplyError> {
        let (resource, name) = (&object.resource, &object.name);
        let live = self.live(resource, name).await?;
        let mut wanted = object.with_hash();
        if let Some(live) = &live {
            owner.claim(live, resource, name)?;
            if live.plan_hash.as_deref() == Some(&object.hash())
                && !live.held_by_older
                && covers(&live.value(), &object::content(&wanted))
            {
                return Ok(());
            }
            self.prepare(live, object, &wanted).await?;
            object::merge(&mut wanted, with_uid(live));
        } else if let (Owner::Resource(owner), Makes::Ask) = (owner, &makes) {
            self.is_there(owner, object).await?;
            *makes = Makes::Go;
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let (api, patch) = (self.api(resource, name), Patch::Apply(without_nulls(wanted)));
        let written = api.patch(name.name(), &params, &patch).await;
        let written = written.map_err(not_written(live.as_deref(), resource, name))?;
        tracing::debug!(kind = resource.kind, %name, version = written.resource_version(), "written");
        Ok(())
    }

    /// Asks whether whom an object is made for is still there. The watches of kinds are not at the
    /// same place in history: when a resource goes, its objects may be seen to go before it is.
    async fn is_there(&self, owner: &OwnerReference, object: &Object) -> Result<(), ApplyError> {
        let (group, version) =
            owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &owner.kind));
        let Object { resource: of, name, .. } = object;
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), name.namespace(), &resource);
        let found = api.get_opt(&owner.name).await;
        let found = found.map_err(api_error("reading the owner of", of, name))?;
        if found.is_some_and(|it| it.uid().as_ref() == Some(&owner.uid)) {
            return Ok(());
        }
        let what = What::of(of, name);
        Err(ApplyError::OwnerGone { what, owner: format!("{} {}", owner.kind, owner.name) })
    }

    /// Does what server-side apply does not do.
    async fn prepare(
        &self,
        live: &Live,
        object: &Object,
        wanted: &Value,
    ) -> Result<(), ApplyError> {
        let Object { resource, name, .. } = object;
        let api = self.api(resource, name);
        if live.held_by_older {
            let taken = managers::take_over(&api, name.name(), &live.uid).await;
            taken.map_err(api_error("taking over", resource, name))?;
        }
        if let Some(mut patch) = removals(&live.value(), wanted) {
            object::merge(&mut patch, with_uid(live));
            let params =
                PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
            let removed = api.patch(name.name(), &params, &Patch::Merge(patch)).await;
            removed.map_err(not_written(Some(live), resource, name))?;
        }
        Ok(())
    }

    /// What an older plan named and this one does not.
    fn left_over(&self, plan: &Plan) -> Vec<Place> {
        let owned = match &plan.owner {
            Owner::Resource(owner) => self.live.controlled_by(&owner.uid),
            Owner::Installation(labels) => self.live.labelled(labels),
        };
        let planned = |place: &Place| {
            plan.objects
                .iter()
                .any(|it| it.name == place.name && it.resource.kind == place.resource.kind)
        };
        let mut places = Vec::new();
        for (place, live) in owned {
            // What the older pack wrote and we never did is not ours to remove.
            if live.plan_hash.is_some() && !live.keep && !live.deleting && !planned(&place) {
                places.push(place);
            }
        }
        places
    }

    async fn remove(&self, Place { resource, name }: &Place) -> Result<(), ApplyError> {
        let Some(live) = self.live.get(resource, name) else { return Ok(()) };
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions {
                uid: Some(live.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match self.api(resource, name).delete(name.name(), &params).await {
            Ok(_) => {
                tracing::info!(kind = resource.kind, %name, "removed");
                Ok(())
            }
            // It has gone already, or another one has taken its name.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
            Err(source) => Err(api_error("removing", resource, name)(source)),
        }
    }

    fn api(&self, resource: &ApiResource, name: &ResourceName) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), name.namespace(), resource)
    }
}

impl Owner {
    /// Whether an object that is there may be written.
    fn claim(
        &self,
        live: &Live,
        resource: &ApiResource,
        name: &ResourceName,
    ) -> Result<(), ApplyError> {
        let what = || What::of(resource, name);
        let managed = live.labels.get(MANAGED_BY.0).map(String::as_str) == Some(MANAGED_BY.1);
        let controller = live.controller.as_ref();
        let whose = match (self, controller) {
            (Self::Resource(owner), Some(controller)) if controller.uid == owner.uid => None,
            // One of the same name was there before, and what it left is being collected.
            (Self::Resource(owner), Some(controller))
                if controller.kind == owner.kind && controller.name == owner.name =>
            {
                return Err(ApplyError::Leaving { what: what() });
            }
            (Self::Resource(_), None) if managed => None,
            (Self::Installation(labels), None)
                if labels.iter().all(|it| live.labels.get(it.0) == Some(it.1)) =>
            {
                None
            }
            (_, Some(controller)) => Some(format!("{} {}", controller.kind, controller.name)),
            (_, None) => Some("somebody else".into()),
        };
        match whose {
            Some(whose) => Err(ApplyError::Foreign { what: what(), whose }),
            None if live.deleting => Err(ApplyError::Leaving { what: what() }),
            None => Ok(()),
        }
    }
}

/// What a patch needs so that only what was looked at is written, and nothing is made.
fn with_uid(live: &Live) -> Value {
    json!({"metadata": {"uid": live.uid}})
}

/// Whether a patch with a uid was refused because nothing has it: what it is for has gone, which
/// the API server calls a conflict or not found, or another one has its name, which it calls an
/// invalid field.
fn is_outdated(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    [404, 409].contains(&status.code)
        || causes.into_iter().any(|cause| cause.field == "metadata.uid")
}

fn not_written(
    live: Option<&Live>,
    resource: &ApiResource,
    name: &ResourceName,
) -> impl FnOnce(kube::Error) -> ApplyError {
    let was_seen = live.is_some();
    move |source| {
        if was_seen && is_outdated(&source) {
            return ApplyError::Outdated { what: What::of(resource, name), source };
        }
        api_error("writing", resource, name)(source)
    }
}

fn api_error(
    action: &'static str,
    resource: &ApiResource,
    name: &ResourceName,
) -> impl FnOnce(kube::Error) -> ApplyError {
    move |source| ApplyError::Api { action, what: What::of(resource, name), source }
}

impl What {
    fn of(resource: &ApiResource, name: &ResourceName) -> Self {
        Self { kind: resource.kind.clone(), name: name.clone() }
    }

    /// The kind of the object.
    pub fn kind(&self) -> &str {
        &self.kind
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl fmt::Debug for Applier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Applier").finish_non_exhaustive()
    }
}
