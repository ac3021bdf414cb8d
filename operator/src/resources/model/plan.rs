//! From a checked model to the objects that serve it. No client, no clock, no failure.
//!
//! Names, labels, selectors, containers, arguments and probes are those of the first release of
//! the pack, so that a Deployment which it made is taken over without a restart of its pods.

mod deployment;
mod template;
mod vllm;
mod init_container;
mod service;
mod storage;
mod network_policy;
mod pod_monitor;

pub use deployment::CONFIG_HASH;
pub use init_container::{LOADER, is_downloader};
pub use template::Style;
pub use vllm::CONTAINER as VLLM;

use crate::{
    app::settings::Settings,
    apply::{Owner, Plan},
    cluster_state::LiveKind,
    labels::{INSTANCE, MANAGED_BY},
    resources::model::check::Checked,
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
use std::collections::BTreeMap;

/// The value of the label `app.kubernetes.io/name`.
pub const APP: &str = "llmmodel";

/// What is live of a model and matters to its plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Present<'a> {
    /// Its Deployment.
    pub deployment: Option<&'a Deployment>,
    /// Its volume.
    pub claim: Option<&'a PersistentVolumeClaim>,
    /// Whether the cluster has PodMonitors.
    pub pod_monitors: bool,
}

/// What is told to all parts of a plan.
struct Planner<'a> {
    model: &'a Checked,
    settings: &'a Settings,
    present: Present<'a>,
}

/// The kinds of the objects of plans.
pub fn kinds() -> Vec<LiveKind> {
    fn kind<K: Resource<DynamicType = ()>>() -> LiveKind {
        LiveKind { resource: ApiResource::erase::<K>(&()), optional: false }
    }
    vec![
        kind::<PersistentVolumeClaim>(),
        kind::<ServiceAccount>(),
        kind::<Service>(),
        kind::<NetworkPolicy>(),
        kind::<Deployment>(),
        LiveKind { resource: pod_monitor::resource(), optional: true },
    ]
}

/// The kind of PodMonitors.
pub fn pod_monitors() -> ApiResource {
    pod_monitor::resource()
}

/// The objects that serve a model, in the order in which they are written: what a pod needs before
/// the pod.
pub fn plan(model: &Checked, settings: &Settings, present: Present<'_>) -> Plan {
    let planner = Planner { model, settings, present };
    let objects = [
        planner.claim(),
        Some(planner.service_account()),
        Some(planner.service()),
        Some(planner.network_policy()),
        Some(planner.deployment()),
        planner.pod_monitor(),
    ];
    Plan {
        owner: Owner::Resource(model.owner.clone()),
        objects: objects.into_iter().flatten().collect(),
    }
}

impl Planner<'_> {
    /// The name that the objects of a model have or begin with.
    fn name(&self) -> &str {
        self.model.names.model.name()
    }

    /// What all objects of a model say of themselves.
    fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            labels: Some(labels(self.name())),
            owner_references: Some(vec![self.model.owner.clone()]),
            ..ObjectMeta::default()
        }
    }
}

/// The labels of the objects of a model, and of its pods.
pub fn labels(model: &str) -> BTreeMap<String, String> {
    let (managed_by, us) = MANAGED_BY;
    [
        (managed_by, us),
        (INSTANCE, model),
        ("app.kubernetes.io/name", APP),
        ("llm.nebari.dev/model", model),
    ]
    .map(|(label, value)| (label.to_owned(), value.to_owned()))
    .into()
}

/// What selects the pods of a model. It cannot be changed, and is that of the first release.
fn selector(model: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(INSTANCE.to_owned(), model.to_owned())])
}

#[cfg(test)]
mod tests;
