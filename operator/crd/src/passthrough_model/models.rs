//! Models of a provider to forward, and the endpoints that expose them.

use crate::rule::{self, rule};
use serde::{Deserialize, Serialize};

/// Models of a provider to forward.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PassthroughModels {
    /// Whether this provider receives requests for all model ids that no other resource serves.
    /// Only one resource can be the catch-all: the oldest wins, and the others report it in their
    /// `Accepted` condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub catch_all: Option<bool>,
    /// Model ids to forward unchanged, for example `anthropic/claude-sonnet-4.5`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rule::model_ids")]
    pub declared: Vec<String>,
    /// Additional ids for models of the provider.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 1000),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"])
    )]
    pub aliases: Vec<DeclaredAlias>,
}

/// Additional id for a model of the provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredAlias {
    /// Model id that clients send in `"model"`, for example `fast`.
    #[schemars(schema_with = "rule::model_id")]
    pub id: String,
    /// Model id at the provider, for example `gpt-5-nano`.
    #[schemars(schema_with = "rule::model_id")]
    pub upstream: String,
}

/// Endpoints at which the models of a provider are available.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [rule(
    "!(has(self.external) && has(self.external.enabled) && !self.external.enabled && \
     has(self.internal) && has(self.internal.enabled) && !self.internal.enabled)",
    "at least one endpoint must be enabled",
)]))]
pub struct PassthroughEndpoints {
    /// Endpoint for callers with API keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<EndpointSwitch>,
    /// Endpoint for callers with identity provider tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal: Option<EndpointSwitch>,
}

/// An endpoint that can be disabled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSwitch {
    /// Whether the models are available at this endpoint. Defaults to true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}
