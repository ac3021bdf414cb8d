//! Reads the live state of a model.

use crate::{
    apply::ApplyError,
    cluster_state::OwnedObject,
    context::Context,
    resources::model::names::{APP, ObjectNames, pod_monitors},
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{PersistentVolumeClaim, Pod},
};
use kube::{ResourceExt as _, api::ApiResource};
use llm_contract::ResourceName;
use llm_crd::{LLMModel, Source, StorageType};
use std::sync::Arc;

/// The live state of a model.
#[derive(Clone, Debug, Default)]
pub struct ObservedModel {
    pub is_managed_namespace: bool,
    pub token: HubToken,
    pub deployment: Option<Deployment>,
    /// The model's own claim, or the one it names.
    pub claim: Option<PersistentVolumeClaim>,
    /// Pods that have not terminated.
    pub pods: Vec<Arc<Pod>>,
    /// Whether the PodMonitor kind is installed.
    pub has_pod_monitors: bool,
}

/// The hub token in the Secret that a model names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HubToken {
    #[default]
    NotNeeded,
    Found,
    SecretMissing,
    KeyMissing,
}

#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    #[error(transparent)]
    Object(#[from] ApplyError),
    #[error("reading Secret {name}")]
    Secret { name: String, source: kube::Error },
}

pub async fn observe(
    context: &Context,
    name: &ResourceName,
    model: &LLMModel,
) -> Result<ObservedModel, ObserveError> {
    let (mut deployment, mut claim) = (None, None);
    if let Ok(names) = ObjectNames::of(name) {
        deployment = live::<Deployment>(context, &names.model).await?.and_then(|it| it.parse());
        let named = model.spec.model.storage.as_ref().and_then(|it| it.claim_name.as_deref());
        let claim_name = match (model.spec.model.source, model.spec.storage_type()) {
            (Source::HuggingFace, StorageType::Pvc) => Some(names.claim),
            (Source::Pvc, _) => named.and_then(|it| sibling(name, it)),
            (Source::HuggingFace | Source::Oci, _) => None,
        };
        if let Some(claim_name) = claim_name {
            let found = live::<PersistentVolumeClaim>(context, &claim_name).await?;
            claim = found.and_then(|it| it.parse());
        }
    }
    Ok(ObservedModel {
        is_managed_namespace: context.cluster.is_managed(name.namespace()),
        token: hub_token(context, name, model).await?,
        deployment,
        claim,
        pods: context.cluster.pods_of(name).into_iter().filter(|pod| is_relevant(pod)).collect(),
        has_pod_monitors: context.cluster.has_kind(&pod_monitors()),
    })
}

async fn live<K: kube::Resource<DynamicType = ()>>(
    context: &Context,
    name: &ResourceName,
) -> Result<Option<Arc<OwnedObject>>, ApplyError> {
    context.applier.live(&ApiResource::erase::<K>(&()), name).await
}

async fn hub_token(
    context: &Context,
    name: &ResourceName,
    model: &LLMModel,
) -> Result<HubToken, ObserveError> {
    let secret = model.spec.model.auth_secret_name.as_deref().filter(|secret| !secret.is_empty());
    let Some(secret) = secret.filter(|_| model.spec.model.source == Source::HuggingFace) else {
        return Ok(HubToken::NotNeeded);
    };
    let Some(secret) = sibling(name, secret) else { return Ok(HubToken::SecretMissing) };
    let read = context.cluster.secrets.read(&secret).await;
    let read = read.map_err(|source| ObserveError::Secret { name: secret.to_string(), source })?;
    Ok(match read {
        None => HubToken::SecretMissing,
        Some(data) if data.contains_key("HF_TOKEN") => HubToken::Found,
        Some(_) => HubToken::KeyMissing,
    })
}

/// Whether a pod says anything about its model. The endpoint picker pods of the first release carry
/// the label of the model too, and terminated pods no longer matter.
fn is_relevant(pod: &Pod) -> bool {
    let app = pod.labels().get("app.kubernetes.io/name").map(String::as_str);
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    app == Some(APP)
        && pod.metadata.deletion_timestamp.is_none()
        && !matches!(phase, Some("Failed" | "Succeeded"))
}

fn sibling(name: &ResourceName, other: &str) -> Option<ResourceName> {
    ResourceName::parse(&format!("{}/{other}", name.namespace())).ok()
}
