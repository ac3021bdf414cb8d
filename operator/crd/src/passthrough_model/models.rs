//! Which models of a provider are passed on, and where they are reached.

use crate::rule::{self, rule};
use serde::{Deserialize, Serialize};

/// Which models of a provider are passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PassthroughModels {
    /// Whether every id goes to this provider that nothing else serves. One resource of the
    /// gateway can have it: the oldest wins, and the condition `Accepted` of the others says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub catch_all: Option<bool>,
    /// The ids that go to this provider, as it knows them, for example
    /// `anthropic/claude-sonnet-4.5`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rule::model_ids")]
    pub declared: Vec<String>,
    /// Ids of ours for models of the provider.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 1000),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"])
    )]
    pub aliases: Vec<DeclaredAlias>,
}

/// An id of ours for a model of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredAlias {
    /// The id clients write in `"model"`, for example `fast`.
    #[schemars(schema_with = "rule::model_id")]
    pub id: String,
    /// The id the provider knows, for example `gpt-5-nano`.
    #[schemars(schema_with = "rule::model_id")]
    pub upstream: String,
}

/// Where the models of a provider are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [rule(
    "!(has(self.external) && has(self.external.enabled) && !self.external.enabled && \
     has(self.internal) && has(self.internal.enabled) && !self.internal.enabled)",
    "at least one of the endpoints must be enabled",
)]))]
pub struct PassthroughEndpoints {
    /// The endpoint for callers with API keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<EndpointSwitch>,
    /// The endpoint for callers with tokens of the identity provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal: Option<EndpointSwitch>,
}

/// Whether models are reached at an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSwitch {
    /// Whether the models are reached here. True if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}
