//! The resource itself: `LLMModelSpec`.

use super::{Advanced, Endpoints, LLMModelStatus, Model, Resources, Routing, Scaling, Serving};
use crate::{Access, ModelLimits, Pricing, rule};
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// Desired state of a served model.
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
    doc = "A language model served by this cluster: the operator downloads its weights, runs vLLM, \
           and exposes the model through the gateway to those who have access.",
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase"}"#,
    printcolumn = r#"{"name": "Model", "type": "string", "jsonPath": ".spec.model.name"}"#,
    printcolumn = r#"{"name": "Replicas", "type": "string", "jsonPath": ".status.replicas.ready"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Downloaded", "type": "integer", "priority": 1,
        "jsonPath": ".status.download.percent",
        "description": "Percentage of the weights downloaded"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "priority": 1,
        "jsonPath": ".status.conditions[?(@.type==\"ServingReady\")].reason",
        "description": "Reason of the ServingReady condition"}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "priority": 1,
        "jsonPath": ".status.conditions[?(@.type==\"ServingReady\")].message",
        "description": "Message of the ServingReady condition"}"#
)]
pub struct LLMModelSpec {
    /// The model to serve and the source of its weights.
    pub model: Model,
    /// Resources of each replica: GPUs, memory, CPU.
    pub resources: Resources,
    /// How vLLM is run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<Serving>,
    /// Who may use the model: `public: true`, or at least one group.
    pub access: Access,
    /// Endpoints at which the model is available. Both are enabled by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// Additional ids under which clients can request this model besides `spec.model.name`, for
    /// example `qwen3`. An id that already belongs to an older resource is skipped and reported in
    /// the `Accepted` condition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        schema_with = "rule::model_ids",
        extend("x-kubernetes-list-type" = "set", "maxItems" = 64)
    )]
    pub aliases: Vec<String>,
    /// Limits on the use of the model. Unlimited if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<ModelLimits>,
    /// Demand-based scaling in place of a fixed number of `spec.serving.replicas`. Has no effect
    /// yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// How a replica is chosen for a request, and fallbacks if none is available. Has no effect
    /// yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
    /// Token prices for usage reports. Has no effect yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing: Option<Pricing>,
    /// Settings that only a few models need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advanced: Option<Advanced>,
}
