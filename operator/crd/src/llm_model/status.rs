//! What the operator says of a model.

use crate::EndpointUrls;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::{Deserialize, Serialize};

/// What the operator says of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LLMModelStatus {
    /// The state in one word: `Pending` (nothing runs yet), `Downloading` (the weights are being
    /// fetched), `Starting` (vLLM starts, or tries to), `Ready` (all replicas serve), `Degraded`
    /// (some do), `Error` (the operator could not do its part), or `Idle` (no replica runs,
    /// because none is wanted now). The conditions say more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Phase")]
    pub phase: Option<Phase>,
    /// What is fulfilled and what is not, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The generation of the resource that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How large the weights are, for people, for example `15.3 GiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_size: Option<String>,
    /// How many replicas there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<ReplicaCounts>,
    /// Where the model is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<EndpointUrls>,
    /// How far the download of the weights is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<Download>,
}

/// The state of a model in one word.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum Phase {
    /// Nothing runs yet.
    #[default]
    Pending,
    /// The weights are being fetched.
    Downloading,
    /// vLLM starts, or tries to.
    Starting,
    /// All replicas serve.
    Ready,
    /// Some replicas serve.
    Degraded,
    /// The operator could not do its part.
    Error,
    /// No replica runs, because none is wanted now.
    Idle,
}

/// How many replicas there are.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaCounts {
    /// Replicas that serve.
    pub ready: i32,
    /// Replicas that should.
    pub desired: i32,
}

/// How far a download is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct Download {
    /// Bytes that are on the volume.
    pub bytes: i64,
    /// Bytes there will be.
    pub total: i64,
    /// The same as a whole percentage, from 0 to 100.
    pub percent: i32,
}

impl Phase {
    /// The word, as it stands in `status.phase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Downloading => "Downloading",
            Self::Starting => "Starting",
            Self::Ready => "Ready",
            Self::Degraded => "Degraded",
            Self::Error => "Error",
            Self::Idle => "Idle",
        }
    }
}
