//! `LLMModel`: a model that the cluster serves itself.

mod model;
mod resources;
mod serving;
mod endpoints;
mod traffic;
mod advanced;
mod status;
mod effective;

pub use advanced::{Advanced, AdvancedVllm, InferencePool};
pub use effective::Ignored;
pub use endpoints::{Endpoints, ExternalEndpoint, InternalEndpoint};
pub use model::{Files, Model, Source, Storage, StorageAccessMode, StorageType};
pub use resources::{Accelerator, Gpu, Resources};
pub use serving::{Adapter, KvCacheOffload, Monitoring, Serving, UpdateStrategy};
pub use status::{Download, LLMModelStatus, Phase, ReplicaCounts};
pub use traffic::{Routing, RoutingPolicy, Scaling};

use crate::{Access, Limits, Pricing, rule};
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// What to serve, on what, and for whom.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "llm.nebari.dev",
    version = "v1alpha1",
    kind = "LLMModel",
    plural = "llmmodels",
    singular = "llmmodel",
    shortname = "lm",
    category = "llm",
    namespaced,
    status = "LLMModelStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A language model that this cluster serves itself: the operator fetches its weights, runs \
           vLLM on them, and makes the model reachable through the gateway for those who may use it.",
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase"}"#,
    printcolumn = r#"{"name": "Model", "type": "string", "jsonPath": ".spec.model.name"}"#,
    printcolumn = r#"{"name": "Replicas", "type": "string", "jsonPath": ".status.replicas.ready"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Downloaded", "type": "integer", "priority": 1,
        "jsonPath": ".status.download.percent",
        "description": "Percent of the weights that are on the volume"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "priority": 1,
        "jsonPath": ".status.conditions[?(@.type==\"ServingReady\")].reason",
        "description": "Why the model is served or not"}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "priority": 1,
        "jsonPath": ".status.conditions[?(@.type==\"ServingReady\")].message",
        "description": "The same in words"}"#
)]
pub struct LLMModelSpec {
    /// Which model to serve, and where its weights come from.
    pub model: Model,
    /// What each replica gets: GPUs, memory, processors.
    pub resources: Resources,
    /// How vLLM runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<Serving>,
    /// Who may use the model: `public: true`, or at least one group.
    pub access: Access,
    /// Where the model is reached. Both endpoints are enabled if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// Other ids by which clients may ask for this model, beside `spec.model.name`. For example
    /// `qwen3`. An id that an older resource has already is not served from here, and the
    /// condition `Accepted` says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        schema_with = "rule::model_ids",
        extend("x-kubernetes-list-type" = "set", "maxItems" = 64)
    )]
    pub aliases: Vec<String>,
    /// How much of the model may be used. Not limited if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// How many replicas run, by demand. If absent, `spec.serving.replicas` run always; if
    /// present, that number has no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// Which replica serves a request, and what happens when none can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
    /// What tokens cost, for the usage reports. No effect yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing: Option<Pricing>,
    /// What only a few models need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advanced: Option<Advanced>,
}

#[cfg(test)]
mod tests;
