//! All objects of a model, in order.

use crate::{
    app::settings::OperatorSettings,
    apply::Plan,
    cluster_state::OwnedKind,
    resources::model::{
        check::CheckedModel,
        names::{labels, pod_monitors},
        observe::ObservedModel,
    },
};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{PersistentVolumeClaim, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Resource, api::ApiResource};

/// The inputs of a plan; each object has its method in a file of its own.
pub(super) struct Planner<'a> {
    pub(super) model: &'a CheckedModel,
    pub(super) settings: &'a OperatorSettings,
    pub(super) observed: &'a ObservedModel,
}

/// The kinds of the objects in plans.
pub fn kinds() -> Vec<OwnedKind> {
    fn kind<K: Resource<DynamicType = ()>>() -> OwnedKind {
        OwnedKind { resource: ApiResource::erase::<K>(&()), optional: false }
    }
    vec![
        kind::<PersistentVolumeClaim>(),
        kind::<ServiceAccount>(),
        kind::<Service>(),
        kind::<NetworkPolicy>(),
        kind::<Deployment>(),
        OwnedKind { resource: pod_monitors(), optional: true },
    ]
}

/// The objects that serve a model; those that pods depend on come first.
pub fn plan(model: &CheckedModel, settings: &OperatorSettings, observed: &ObservedModel) -> Plan {
    let planner = Planner { model, settings, observed };
    let objects = [
        planner.claim(),
        Some(planner.service_account()),
        Some(planner.service()),
        Some(planner.network_policy()),
        Some(planner.deployment()),
        planner.pod_monitor(),
    ];
    Plan { owner: model.owner.clone(), objects: objects.into_iter().flatten().collect() }
}

impl Planner<'_> {
    /// The model's name, which all object names start with.
    pub(super) fn name(&self) -> &str {
        self.model.names.model.name()
    }

    pub(super) fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            labels: Some(labels(self.name())),
            owner_references: Some(vec![self.model.owner.clone()]),
            ..ObjectMeta::default()
        }
    }
}
