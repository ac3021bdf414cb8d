//! What there is of a model.

use crate::{
    apply::ApplyError,
    cluster_state::OwnedObject,
    context::Context,
    resources::model::{names::Names, plan},
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{PersistentVolumeClaim, Pod},
};
use kube::{ResourceExt as _, api::ApiResource};
use llm_contract::ResourceName;
use llm_crd::{LLMModel, Source, StorageType};
use std::sync::Arc;

/// What there is of a model.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Whether its namespace counts.
    pub is_managed: bool,
    /// Its token for the hub.
    pub token: HubToken,
    /// Its Deployment.
    pub deployment: Option<Deployment>,
    /// Its volume, or the one it names.
    pub claim: Option<PersistentVolumeClaim>,
    /// Its pods that run or are to run.
    pub pods: Vec<Arc<Pod>>,
    /// Whether the cluster has PodMonitors.
    pub pod_monitors: bool,
}

/// The token for the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubToken {
    /// The model names none.
    NotNeeded,
    /// It is there.
    There,
    /// The Secret is not there.
    SecretMissing,
    /// The Secret lacks it.
    KeyMissing,
}

/// Why it is not known what there is.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// An object could not be read.
    #[error(transparent)]
    Object(#[from] ApplyError),
    /// A Secret could not be read.
    #[error("reading Secret {name}")]
    Secret {
        /// Which one.
        name: String,
        /// What came back.
        source: kube::Error,
    },
}

/// Looks at what there is of a model.
///
/// # Errors
/// If the API server does not answer where it has to be asked.
pub async fn observe(
    context: &Context,
    name: &ResourceName,
    model: &LLMModel,
) -> Result<Observed, ObserveError> {
    let (mut deployment, mut claim) = (None, None);
    if let Ok(names) = Names::of(name) {
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
    Ok(Observed {
        is_managed: context.cluster.is_managed(name.namespace()),
        token: token(context, name, model).await?,
        deployment,
        claim,
        pods: context.cluster.pods_of(name).into_iter().filter(|pod| counts(pod)).collect(),
        pod_monitors: context.cluster.has_kind(&plan::pod_monitors()),
    })
}

async fn live<K: kube::Resource<DynamicType = ()>>(
    context: &Context,
    name: &ResourceName,
) -> Result<Option<Arc<OwnedObject>>, ApplyError> {
    context.applier.live(&ApiResource::erase::<K>(&()), name).await
}

async fn token(
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
        Some(data) if data.contains_key("HF_TOKEN") => HubToken::There,
        Some(_) => HubToken::KeyMissing,
    })
}

/// Pods of the endpoint picker that the first release ran have the label of the model as well, and
/// pods that have ended say nothing of the model.
fn counts(pod: &Pod) -> bool {
    let app = pod.labels().get("app.kubernetes.io/name").map(String::as_str);
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    app == Some(plan::APP)
        && pod.metadata.deletion_timestamp.is_none()
        && !matches!(phase, Some("Failed" | "Succeeded"))
}

fn sibling(name: &ResourceName, other: &str) -> Option<ResourceName> {
    ResourceName::parse(&format!("{}/{other}", name.namespace())).ok()
}
