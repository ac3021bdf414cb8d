//! Status of a provider, reported by the operator.

use crate::EndpointUrls;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::{Deserialize, Serialize};

/// Status of a provider, reported by the operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PassthroughModelStatus {
    /// Summary of the state: `Ready`, or `Error` (the provider could not be set up). See the
    /// conditions for details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PassthroughPhase")]
    pub phase: Option<PassthroughPhase>,
    /// Current state of the provider, and the reasons for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Generation of the resource that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// URLs at which the models are available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<EndpointUrls>,
    /// Host name in use: `spec.provider.hostname` in lowercase without a trailing dot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_hostname: Option<String>,
}

/// Summary of the state of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum PassthroughPhase {
    /// The provider is set up.
    Ready,
    /// The provider could not be set up.
    Error,
}
