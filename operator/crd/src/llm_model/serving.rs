//! How vLLM runs.

use crate::rule;
use k8s_openapi::api::core::v1::LocalObjectReference;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How vLLM runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Serving {
    /// The image with vLLM. The operator's default if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The command in place of `python3 -m vllm.entrypoints.openai.api_server`. The arguments
    /// are passed to it all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// How many replicas run, from 0 to 1000. Has no effect beside `spec.scaling`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000), extend("default" = 1))]
    pub replicas: Option<i32>,
    /// Over how many GPUs one copy of the model is spread (`--tensor-parallel-size`), from 1 to
    /// 64. `spec.resources.gpu.count` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub tensor_parallelism: Option<i32>,
    /// How many copies of the model one replica runs (`--data-parallel-size`), from 1 to 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64), extend("default" = 1))]
    pub data_parallelism: Option<i32>,
    /// More arguments of vLLM, after those the operator passes. For example
    /// `["--max-model-len", "8192"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vllm_args: Vec<String>,
    /// How a new version replaces the old: `Recreate` (the old pods end first, so that their GPUs
    /// are free for the new) or `RollingUpdate` (the new pods start first, which needs GPUs for
    /// both).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "UpdateStrategy", extend("default" = "Recreate"))]
    pub update_strategy: Option<UpdateStrategy>,
    /// Whether Prometheus reads vLLM's metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// The Secrets in the same namespace with which the pods' images are pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// The RuntimeClass of the pods, for example `nvidia`. The cluster's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rule::object_name")]
    pub runtime_class_name: Option<String>,
    /// The PriorityClass of the pods. The cluster's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rule::object_name")]
    pub priority_class_name: Option<String>,
    /// More annotations of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub pod_annotations: BTreeMap<String, String>,
    /// How long a pod that is to end may take to finish its requests, in seconds, from 0 to
    /// 86400. The operator's default if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub termination_grace_period_seconds: Option<i64>,
    /// Lets the KV cache grow beyond the GPU into the memory of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_cache_offload: Option<KvCacheOffload>,
    /// LoRA adapters, each served as a model of its own beside the base model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub adapters: Vec<Adapter>,
}

/// How a new version replaces the old.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum UpdateStrategy {
    /// The old pods end first.
    #[default]
    Recreate,
    /// The new pods start first.
    RollingUpdate,
}

/// Whether Prometheus reads vLLM's metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Whether the operator makes a PodMonitor, which needs the Prometheus operator. False if
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// Memory of the node for the KV cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KvCacheOffload {
    /// How much memory of the node the KV cache of one copy of the model may use, in GiB, from 1
    /// to 65536 (`--kv-offloading-size`). It is added to the pod's memory.
    #[serde(rename = "cpuMemoryGiB")]
    #[schemars(range(min = 1, max = 65536))]
    pub cpu_memory_gib: i32,
}

/// A LoRA adapter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adapter {
    /// The id clients write in `"model"` to get the adapter, for example `qwen3-sql`.
    #[schemars(schema_with = "rule::model_id")]
    pub name: String,
    /// The repository of the adapter at the hub, for example `example/qwen3-sql-lora`, or, if it
    /// begins with `/`, its folder in the container.
    #[schemars(length(min = 1, max = 256))]
    pub source: String,
}
