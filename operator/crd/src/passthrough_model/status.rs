//! What the operator says of a provider.

use crate::EndpointUrls;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::{Deserialize, Serialize};

/// What the operator says of a provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PassthroughModelStatus {
    /// The state in one word: `Ready`, or `Error` (the operator could not do its part). The
    /// conditions say more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PassthroughPhase")]
    pub phase: Option<PassthroughPhase>,
    /// What is fulfilled and what is not, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The generation of the resource that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the models are reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<EndpointUrls>,
    /// The host name in use: `spec.provider.hostname` in lower case, without a final dot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_hostname: Option<String>,
}

/// The state of a provider in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum PassthroughPhase {
    /// The operator did its part.
    Ready,
    /// The operator could not do its part.
    Error,
}

impl PassthroughPhase {
    /// The word, as it stands in `status.phase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Error => "Error",
        }
    }
}
