//! Status of a model, reported by the operator.

use crate::EndpointUrls;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::{Deserialize, Serialize};

/// Status of a model, reported by the operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LLMModelStatus {
    /// Summary of the state: `Pending` (nothing is running yet), `Downloading` (the weights are
    /// being downloaded), `Starting` (vLLM is starting or keeps failing to), `Ready` (all replicas
    /// are serving), `Degraded` (some replicas are serving), `Error` (the model could not be set
    /// up), or `Idle` (no replica is running because none is requested). See the conditions for
    /// details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Phase")]
    pub phase: Option<Phase>,
    /// Current state of the model, and the reasons for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Generation of the resource that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Human-readable size of the weights, for example `15.3 GiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_size: Option<String>,
    /// Number of replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<ReplicaCounts>,
    /// URLs at which the model is available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<EndpointUrls>,
    /// Progress of the weight download.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<Download>,
}

/// Summary of the state of a model.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum Phase {
    /// Nothing is running yet.
    #[default]
    Pending,
    /// The weights are being downloaded.
    Downloading,
    /// vLLM is starting or keeps failing to.
    Starting,
    /// All replicas are serving.
    Ready,
    /// Some replicas are serving.
    Degraded,
    /// The model could not be set up.
    Error,
    /// No replica is running because none is requested.
    Idle,
}

/// Number of replicas.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaCounts {
    /// Replicas that are serving.
    pub ready: i32,
    /// Replicas that should be serving.
    pub desired: i32,
}

/// Progress of a download.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct Download {
    /// Bytes downloaded.
    pub bytes: i64,
    /// Bytes in total; 0 until known.
    pub total: i64,
    /// Percentage downloaded, from 0 to 100.
    pub percent: i32,
}
