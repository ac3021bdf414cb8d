//! The endpoints of a model.

use crate::{DurationText, rule};
use serde::{Deserialize, Serialize};

/// Endpoints at which a model is available.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// Endpoint for callers with API keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEndpoint>,
    /// Endpoint for callers with identity provider tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal: Option<InternalEndpoint>,
    /// Maximum duration of a request including its response, for example `30m`. At most 24 hours;
    /// `0s` means 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend(
        "default" = "600s",
        "x-kubernetes-validations" = [rule::duration("0s", "24h")],
    ))]
    pub request_timeout: Option<DurationText>,
}

/// Endpoint for callers with API keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalEndpoint {
    /// Whether the model is available at this endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = true))]
    pub enabled: Option<bool>,
    /// Has no effect: all models share one host name. Accepted for compatibility with older
    /// manifests and reported in the `Ignored` condition. At most 63 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub subdomain: Option<String>,
}

/// Endpoint for callers with identity provider tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InternalEndpoint {
    /// Whether the model is available at this endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = true))]
    pub enabled: Option<bool>,
}
