//! Everything that can be wrong with a model is found here.

use crate::{
    resources::{
        model::{
            names::Names,
            observe::{HubToken, Observed},
        },
        quantity::is_quantity,
    },
    routes::RouteStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use llm_contract::ResourceName;
use llm_crd::{ConditionType, Finding, LLMModel, LLMModelSpec, Reason, Source, StorageType};
use std::sync::Arc;

/// A model of which objects can be made.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The names of all of them.
    pub names: Names,
    /// Who controls them.
    pub owner: OwnerReference,
    /// What is wanted.
    pub spec: LLMModelSpec,
    /// Where the weights are.
    pub weights: Weights,
    /// What is not as it should be, and does not keep the rest from working.
    pub flaws: Vec<Finding>,
}

/// Where the weights of a model are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Weights {
    /// On a volume of the model's own.
    Volume {
        /// How large it is to be.
        size: String,
    },
    /// In a folder of the node.
    Folder {
        /// The most it may hold; as much as fits if absent.
        size: Option<String>,
    },
    /// In an image that is mounted.
    Image {
        /// Which one.
        reference: String,
    },
    /// On a volume that somebody else keeps.
    Claim {
        /// Its name.
        name: String,
    },
}

/// Why nothing is made of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In a word.
    pub reason: Reason,
    /// What to do about it.
    pub message: String,
}

impl Refusal {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    fn spec(message: impl Into<String>) -> Self {
        Self::new(Reason::InvalidSpec, message)
    }

    /// As it stands in the status.
    pub fn finding(self) -> Finding {
        Finding::new(ConditionType::Accepted, self.reason, self.message)
    }
}

/// Checks a model.
///
/// # Errors
/// [`Refusal`]; what there is of the model stays as it is then.
pub fn check(
    name: &ResourceName,
    model: &Arc<LLMModel>,
    observed: &Observed,
    verdict: &RouteStatus,
) -> Result<Checked, Refusal> {
    if !observed.is_managed {
        return Err(Refusal::new(
            Reason::NamespaceNotWatched,
            format!(
                "namespace {} lacks the label nebari.dev/managed=true: label it, or move the model",
                name.namespace()
            ),
        ));
    }
    let names = Names::of(name).map_err(|wrong| Refusal::spec(wrong.to_string()))?;
    let mut owner =
        model.controller_owner_ref(&()).ok_or_else(|| Refusal::spec("it has no uid"))?;
    owner.block_owner_deletion = Some(true);
    let flaws = ids(model, verdict)?;
    if let Some(wrong) = &verdict.invalid {
        return Err(Refusal::spec(wrong.clone()));
    }
    let weights = weights(&model.spec)?;
    quantities(&model.spec)?;
    offload(&model.spec)?;
    token(&model.spec, &observed.token)?;
    Ok(Checked { names, owner, spec: model.spec.clone(), weights, flaws })
}

/// Its own id has to be free. An alias that is not is left out, and said.
fn ids(model: &LLMModel, verdict: &RouteStatus) -> Result<Vec<Finding>, Refusal> {
    if verdict.name_taken {
        let message = "a PassthroughModel of this name is there and is older: rename one of them";
        return Err(Refusal::new(Reason::NameTaken, message));
    }
    let own = &model.spec.model.name;
    let says = |id: &str, by: &ResourceName| {
        format!("{by} has the id `{id}` and is older: choose another id, or delete {by}")
    };
    let mut flaws = Vec::new();
    for (id, by) in &verdict.ids_taken {
        let message = says(id, by);
        if id == own {
            return Err(Refusal::new(Reason::ModelIdTaken, message));
        }
        flaws.push(Finding::new(ConditionType::Accepted, Reason::ModelIdTaken, message));
    }
    Ok(flaws)
}

fn weights(spec: &LLMModelSpec) -> Result<Weights, Refusal> {
    let storage = spec.model.storage.as_ref();
    let given = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
    let size = given(storage.and_then(|storage| storage.size.as_ref()));
    let path = "spec.model.storage.size";
    if let Some(size) = &size
        && !is_quantity(size)
    {
        return Err(Refusal::spec(format!("{path}: `{size}` is no quantity; for example 80Gi")));
    }
    match (spec.model.source, spec.storage_type()) {
        (Source::HuggingFace, StorageType::Pvc) => match size {
            Some(size) => Ok(Weights::Volume { size }),
            None => {
                Err(Refusal::spec(format!("{path}: say how large the volume is, for example 80Gi")))
            }
        },
        (Source::HuggingFace, StorageType::EmptyDir | StorageType::Image) => {
            // The first release wrote a size of 0 where none was given, which means the same.
            Ok(Weights::Folder { size: Some(size.unwrap_or_else(|| "0".into())) })
        }
        (Source::Oci, kind) => {
            let Some(reference) = given(spec.model.image.as_ref()) else {
                return Err(Refusal::spec(
                    "spec.model.image: name the image that holds the weights",
                ));
            };
            match kind {
                StorageType::Image => Ok(Weights::Image { reference }),
                StorageType::Pvc | StorageType::EmptyDir => Ok(Weights::Folder { size: None }),
            }
        }
        (Source::Pvc, _) => {
            let claim = given(storage.and_then(|storage| storage.claim_name.as_ref()));
            let missing =
                "spec.model.storage.claimName: name the PersistentVolumeClaim with the weights";
            claim.map(|name| Weights::Claim { name }).ok_or_else(|| Refusal::spec(missing))
        }
    }
}

fn quantities(spec: &LLMModelSpec) -> Result<(), Refusal> {
    for (path, quantities) in
        [("requests", &spec.resources.requests), ("limits", &spec.resources.limits)]
    {
        for (resource, quantity) in quantities {
            if !is_quantity(&quantity.0) {
                let path = format!("spec.resources.{path}.{resource}");
                return Err(Refusal::spec(format!("{path}: `{}` is no quantity", quantity.0)));
            }
        }
    }
    Ok(())
}

/// The engine would end at once.
fn offload(spec: &LLMModelSpec) -> Result<(), Refusal> {
    let path = "spec.serving.kvCacheOffload";
    let Some(serving) = spec.serving.as_ref().filter(|it| it.kv_cache_offload.is_some()) else {
        return Ok(());
    };
    if spec.resources.gpu.count() == 0 {
        return Err(Refusal::spec(format!(
            "{path}: there is no GPU whose cache could be offloaded"
        )));
    }
    let memory =
        |quantities: &std::collections::BTreeMap<String, _>| quantities.contains_key("memory");
    if !memory(&spec.resources.requests) && !memory(&spec.resources.limits) {
        let needed = "spec.resources.requests.memory or spec.resources.limits.memory";
        return Err(Refusal::spec(format!("{path}: say {needed}, to which its memory is added")));
    }
    let extra = spec.advanced.iter().filter_map(|advanced| advanced.vllm.as_ref());
    let args = serving.vllm_args.iter().chain(extra.flat_map(|vllm| &vllm.extra_args));
    match args.into_iter().find(|arg| arg.starts_with("--kv-offloading")) {
        Some(arg) => {
            Err(Refusal::spec(format!("{path}: it says what the argument {arg} says; drop one")))
        }
        None => Ok(()),
    }
}

fn token(spec: &LLMModelSpec, token: &HubToken) -> Result<(), Refusal> {
    let secret = spec.model.auth_secret_name.as_deref().unwrap_or_default();
    match token {
        HubToken::NotNeeded | HubToken::There => Ok(()),
        HubToken::SecretMissing => {
            let message = format!("Secret {secret} is not there: create it with the key HF_TOKEN");
            Err(Refusal::new(Reason::SecretMissing, message))
        }
        HubToken::KeyMissing => {
            let message = format!("Secret {secret} lacks the key HF_TOKEN: add it");
            Err(Refusal::new(Reason::SecretKeyMissing, message))
        }
    }
}

#[cfg(test)]
mod tests;
