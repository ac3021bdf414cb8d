//! How vLLM is run.

use crate::rule;
use k8s_openapi::api::core::v1::LocalObjectReference;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How vLLM is run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Serving {
    /// The vLLM image. Defaults to the operator's setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Command that replaces `python3 -m vllm.entrypoints.openai.api_server`. It receives the same
    /// arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Number of replicas, from 0 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000), extend("default" = 1))]
    pub replicas: Option<i32>,
    /// Number of GPUs that each copy of the model spans (`--tensor-parallel-size`), from 1 to 64.
    /// Defaults to `spec.resources.gpu.count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub tensor_parallelism: Option<i32>,
    /// Number of copies of the model per replica (`--data-parallel-size`), from 1 to 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64), extend("default" = 1))]
    pub data_parallelism: Option<i32>,
    /// Additional vLLM arguments, appended after those set by the operator, for example
    /// `["--max-model-len", "8192"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vllm_args: Vec<String>,
    /// Update strategy: `Recreate` (old pods are stopped first, which frees their GPUs) or
    /// `RollingUpdate` (new pods are started first, which requires GPUs for both).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "UpdateStrategy", extend("default" = "Recreate"))]
    pub update_strategy: Option<UpdateStrategy>,
    /// Collection of vLLM metrics by Prometheus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// Secrets in the same namespace for pulling the pods' images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// RuntimeClass of the pods, for example `nvidia`. Defaults to the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rule::object_name")]
    pub runtime_class_name: Option<String>,
    /// PriorityClass of the pods. Defaults to the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rule::object_name")]
    pub priority_class_name: Option<String>,
    /// Additional annotations for the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub pod_annotations: BTreeMap<String, String>,
    /// Time in seconds that a terminating pod has to finish its requests, from 0 to 86400. Defaults
    /// to 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub termination_grace_period_seconds: Option<i64>,
    /// Offloading of the KV cache from GPU memory to node memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_cache_offload: Option<KvCacheOffload>,
    /// LoRA adapters, each served under its own model id alongside the base model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub adapters: Vec<Adapter>,
}

/// Update strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpdateStrategy {
    /// Old pods are stopped first.
    #[default]
    Recreate,
    /// New pods are started first.
    RollingUpdate,
}

/// Collection of vLLM metrics by Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Whether to create a PodMonitor, which requires the Prometheus operator. Defaults to false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// Offloading of the KV cache to node memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KvCacheOffload {
    /// Node memory for the KV cache of each copy of the model, in GiB, from 1 to 65536
    /// (`--kv-offloading-size`). It is added to the pod's memory requests and limits.
    #[serde(rename = "cpuMemoryGiB")]
    #[schemars(range(min = 1, max = 65536))]
    pub cpu_memory_gib: i32,
}

/// LoRA adapter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adapter {
    /// Model id that clients send in `"model"` to use the adapter, for example `qwen3-sql`.
    #[schemars(schema_with = "rule::model_id")]
    pub name: String,
    /// Hub repository of the adapter, for example `example/qwen3-sql-lora`, or, if it starts with
    /// `/`, its directory in the container.
    #[schemars(length(min = 1, max = 256))]
    pub source: String,
}
