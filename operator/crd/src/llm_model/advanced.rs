//! Settings that only a few models need.

use k8s_openapi::api::core::v1::{Affinity, EnvVar, Toleration};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Settings that only a few models need.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Advanced {
    /// Additional settings for vLLM and its pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vllm: Option<AdvancedVllm>,
    /// Has no effect: the gateway balances load itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference_pool: Option<InferencePool>,
}

/// Additional settings for vLLM and its pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdvancedVllm {
    /// Additional vLLM arguments, appended after `spec.serving.vllmArgs`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_args: Vec<String>,
    /// Additional environment variables for vLLM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_env: Vec<EnvVar>,
    /// Tolerations of the pods, in addition to the one for GPU nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Labels that a node must have to run the pods, for example `{nvidia.com/gpu.product: NVIDIA-L4}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Node affinity, pod affinity and anti-affinity of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
}

/// Settings of the Gateway API inference extension in older manifests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InferencePool {
    /// Has no effect: the gateway balances load itself, see `spec.routing.policy`. Any content is
    /// accepted for compatibility with older manifests and reported in the `Ignored` condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub scheduler_config: Option<serde_json::Value>,
}

fn anything(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}
