//! `PassthroughModel`: models of an external provider.

mod provider;
mod models;
mod status;
mod effective;

pub use models::{DeclaredAlias, EndpointSwitch, PassthroughEndpoints, PassthroughModels};
pub use provider::{
    Backend, BackendType, Bedrock, Credential, CredentialHeader, CredentialType, Header, Provider,
    ProviderTimeouts, Scheme,
};
pub use status::{PassthroughModelStatus, PassthroughPhase};

use crate::{Access, Limits, Pricing, rule::ratcheted};
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// Which provider, which of its models, and for whom.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "llm.nebari.dev",
    version = "v1alpha1",
    kind = "PassthroughModel",
    plural = "passthroughmodels",
    singular = "passthroughmodel",
    shortname = "ptm",
    category = "llm",
    namespaced,
    status = "PassthroughModelStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Models that an external provider serves, such as OpenAI, OpenRouter, or a vLLM elsewhere: \
           the gateway passes requests on to it with a credential that callers never see.",
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase"}"#,
    printcolumn = r#"{"name": "Provider", "type": "string", "jsonPath": ".spec.provider.hostname"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "CatchAll", "type": "boolean", "priority": 1,
        "jsonPath": ".spec.models.catchAll",
        "description": "Whether every id goes there that nothing else serves"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "priority": 1,
        "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].reason",
        "description": "Why the resource is accepted or not"}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "priority": 1,
        "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].message",
        "description": "The same in words"}"#
)]
#[schemars(extend("x-kubernetes-validations" = [ratcheted(
    "has(self.models) && (self.models.catchAll || has(self.models.declared) && \
     size(self.models.declared) > 0 || has(self.models.aliases) && size(self.models.aliases) > 0)",
    &["models"],
    "say which models are passed on: `models.catchAll: true`, or at least one id in \
     `models.declared` or `models.aliases`",
)]))]
pub struct PassthroughModelSpec {
    /// The provider, and our account with it.
    pub provider: Provider,
    /// Which of its models are passed on: `catchAll: true`, or at least one declared id or alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<PassthroughModels>,
    /// Who may use the models: `public: true`, or at least one group.
    pub access: Access,
    /// Where the models are reached; at least one endpoint is enabled. Both are if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<PassthroughEndpoints>,
    /// How much of each model may be used. Not limited if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What tokens cost, for the usage reports. No effect yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing: Option<Pricing>,
}

#[cfg(test)]
mod tests;
