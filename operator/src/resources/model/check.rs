//! Validates a model.

use crate::{
    resources::{
        model::{
            names::ObjectNames,
            observe::{HubToken, ObservedModel},
        },
        units,
    },
    routes::RouteStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use llm_contract::ResourceName;
use llm_crd::{ConditionType, Finding, LLMModel, LLMModelSpec, Reason, Source, StorageType};

/// A valid model, from which objects can be planned.
#[derive(Clone, Debug)]
pub struct CheckedModel {
    pub names: ObjectNames,
    /// The owner reference of all its objects.
    pub owner: OwnerReference,
    pub spec: LLMModelSpec,
    pub weights: WeightStorage,
    /// Aliases and adapters that are skipped because older resources have their ids.
    pub skipped_ids: Vec<Finding>,
}

/// Where the weights of a model are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightStorage {
    /// A volume of the model's own.
    Volume { size: String },
    /// An `emptyDir`; unlimited without a size.
    EmptyDir { size_limit: Option<String> },
    /// A mounted image.
    Image { reference: String },
    /// A claim that is not ours.
    ExistingClaim { name: String },
}

/// Why a model is not accepted. Its objects then stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationError {
    pub reason: Reason,
    pub message: String,
}

impl ValidationError {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    fn spec(message: impl Into<String>) -> Self {
        Self::new(Reason::InvalidSpec, message)
    }
}

pub fn check(
    name: &ResourceName,
    model: &LLMModel,
    observed: &ObservedModel,
    route_status: &RouteStatus,
) -> Result<CheckedModel, ValidationError> {
    if !observed.is_managed_namespace {
        return Err(ValidationError::new(
            Reason::NamespaceNotWatched,
            format!(
                "namespace {} lacks the label nebari.dev/managed=true: label it or move the model",
                name.namespace()
            ),
        ));
    }
    let names = ObjectNames::of(name).map_err(|wrong| ValidationError::spec(wrong.to_string()))?;
    let mut owner = model
        .controller_owner_ref(&())
        .ok_or_else(|| ValidationError::spec("metadata.uid is missing"))?;
    owner.block_owner_deletion = Some(true);
    let skipped_ids = check_ids(model, route_status)?;
    if let Some(wrong) = &route_status.invalid {
        return Err(ValidationError::spec(wrong.clone()));
    }
    let weights = weight_storage(&model.spec)?;
    check_quantities(&model.spec)?;
    check_offload(&model.spec)?;
    check_token(&model.spec, observed.token)?;
    Ok(CheckedModel { names, owner, spec: model.spec.clone(), weights, skipped_ids })
}

/// The model's own id must be free. Other ids that are not are skipped and reported.
fn check_ids(
    model: &LLMModel,
    route_status: &RouteStatus,
) -> Result<Vec<Finding>, ValidationError> {
    if route_status.name_taken {
        let message = "an older PassthroughModel has the same name: rename one of them";
        return Err(ValidationError::new(Reason::NameTaken, message));
    }
    let own = &model.spec.model.name;
    let mut skipped = Vec::new();
    for (id, holder) in &route_status.ids_taken {
        let message = format!(
            "the id `{id}` belongs to the older {holder}: choose another id or delete {holder}"
        );
        if id == own {
            return Err(ValidationError::new(Reason::ModelIdTaken, message));
        }
        skipped.push(Finding::new(ConditionType::Accepted, Reason::ModelIdTaken, message));
    }
    Ok(skipped)
}

fn weight_storage(spec: &LLMModelSpec) -> Result<WeightStorage, ValidationError> {
    let storage = spec.model.storage.as_ref();
    let given = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
    let size = given(storage.and_then(|storage| storage.size.as_ref()));
    let path = "spec.model.storage.size";
    if let Some(size) = &size
        && units(size).is_none()
    {
        return Err(ValidationError::spec(format!(
            "{path}: `{size}` is not a quantity such as 80Gi"
        )));
    }
    match (spec.model.source, spec.storage_type()) {
        (Source::HuggingFace, StorageType::Pvc) => match size {
            Some(size) => Ok(WeightStorage::Volume { size }),
            None => Err(ValidationError::spec(format!(
                "{path}: specify the size of the volume, for example 80Gi"
            ))),
        },
        (Source::HuggingFace, StorageType::EmptyDir | StorageType::Image) => {
            // Like the first release, which wrote a size of 0 for no limit.
            Ok(WeightStorage::EmptyDir { size_limit: Some(size.unwrap_or_else(|| "0".into())) })
        }
        (Source::Oci, kind) => {
            let Some(reference) = given(spec.model.image.as_ref()) else {
                return Err(ValidationError::spec(
                    "spec.model.image: specify the image that contains the weights",
                ));
            };
            match kind {
                StorageType::Image => Ok(WeightStorage::Image { reference }),
                StorageType::Pvc | StorageType::EmptyDir => {
                    Ok(WeightStorage::EmptyDir { size_limit: None })
                }
            }
        }
        (Source::Pvc, _) => {
            let claim = given(storage.and_then(|storage| storage.claim_name.as_ref()));
            let missing =
                "spec.model.storage.claimName: specify the PersistentVolumeClaim with the weights";
            claim
                .map(|name| WeightStorage::ExistingClaim { name })
                .ok_or_else(|| ValidationError::spec(missing))
        }
    }
}

fn check_quantities(spec: &LLMModelSpec) -> Result<(), ValidationError> {
    for (path, quantities) in
        [("requests", &spec.resources.requests), ("limits", &spec.resources.limits)]
    {
        for (resource, quantity) in quantities {
            if units(&quantity.0).is_none() {
                let path = format!("spec.resources.{path}.{resource}");
                return Err(ValidationError::spec(format!(
                    "{path}: `{}` is not a quantity",
                    quantity.0
                )));
            }
        }
    }
    Ok(())
}

/// vLLM would exit at startup.
fn check_offload(spec: &LLMModelSpec) -> Result<(), ValidationError> {
    let path = "spec.serving.kvCacheOffload";
    let Some(serving) = spec.serving.as_ref().filter(|it| it.kv_cache_offload.is_some()) else {
        return Ok(());
    };
    if spec.resources.gpu.count() == 0 {
        return Err(ValidationError::spec(format!(
            "{path}: requires a GPU whose cache can be offloaded"
        )));
    }
    let memory =
        |quantities: &std::collections::BTreeMap<String, _>| quantities.contains_key("memory");
    if !memory(&spec.resources.requests) && !memory(&spec.resources.limits) {
        let needed = "spec.resources.requests.memory or spec.resources.limits.memory";
        return Err(ValidationError::spec(format!(
            "{path}: set {needed}, to which its memory is added"
        )));
    }
    let extra = spec.advanced.iter().filter_map(|advanced| advanced.vllm.as_ref());
    let args = serving.vllm_args.iter().chain(extra.flat_map(|vllm| &vllm.extra_args));
    match args.into_iter().find(|arg| arg.starts_with("--kv-offloading")) {
        Some(arg) => Err(ValidationError::spec(format!(
            "{path}: conflicts with the argument {arg}; remove one of them"
        ))),
        None => Ok(()),
    }
}

fn check_token(spec: &LLMModelSpec, token: HubToken) -> Result<(), ValidationError> {
    let secret = spec.model.auth_secret_name.as_deref().unwrap_or_default();
    match token {
        HubToken::NotNeeded | HubToken::Found => Ok(()),
        HubToken::SecretMissing => {
            let message =
                format!("Secret {secret} does not exist: create it with the key HF_TOKEN");
            Err(ValidationError::new(Reason::SecretMissing, message))
        }
        HubToken::KeyMissing => {
            let message = format!("Secret {secret} lacks the key HF_TOKEN: add it");
            Err(ValidationError::new(Reason::SecretKeyMissing, message))
        }
    }
}

#[cfg(test)]
mod tests;
