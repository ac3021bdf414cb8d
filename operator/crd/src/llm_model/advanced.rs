//! What only a few models need.

use k8s_openapi::api::core::v1::{Affinity, EnvVar, Toleration};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What only a few models need.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Advanced {
    /// More for vLLM and its pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vllm: Option<AdvancedVllm>,
    /// Has no effect: the gateway chooses replicas itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference_pool: Option<InferencePool>,
}

/// More for vLLM and its pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdvancedVllm {
    /// More arguments of vLLM, after `spec.serving.vllmArgs`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_args: Vec<String>,
    /// More environment variables of vLLM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_env: Vec<EnvVar>,
    /// Taints that the pods tolerate, beside that of nodes with GPUs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Labels that a node must have, for example `{nvidia.com/gpu.product: NVIDIA-L4}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Which nodes the pods prefer or need, and which pods they keep near or apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
}

/// What older manifests say of the Gateway API's inference extension.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InferencePool {
    /// Has no effect: the gateway chooses replicas itself, see `spec.routing.policy`. Any content
    /// is accepted because older manifests have it; the condition `Ignored` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub scheduler_config: Option<serde_json::Value>,
}

fn anything(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}
