//! Where a model is reached.

use crate::{DurationText, rule};
use serde::{Deserialize, Serialize};

/// Where a model is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// The endpoint for callers with API keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEndpoint>,
    /// The endpoint for callers with tokens of the identity provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal: Option<InternalEndpoint>,
    /// How long a whole request may take, its answer included, for example `30m`. At most 24
    /// hours, for which `0s` stands too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend(
        "default" = "600s",
        "x-kubernetes-validations" = [rule::duration("0s", "24h")],
    ))]
    pub request_timeout: Option<DurationText>,
}

/// The endpoint for callers with API keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalEndpoint {
    /// Whether the model is reached here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = true))]
    pub enabled: Option<bool>,
    /// Has no effect: all models share one host name. It is accepted because older manifests have
    /// it; the condition `Ignored` names it. At most 63 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub subdomain: Option<String>,
}

/// The endpoint for callers with tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InternalEndpoint {
    /// Whether the model is reached here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = true))]
    pub enabled: Option<bool>,
}
