//! The resource itself: `PassthroughModelSpec`.

use super::{PassthroughEndpoints, PassthroughModelStatus, PassthroughModels, Provider};
use crate::{Access, ModelLimits, Pricing, rule::ratcheted};
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// Desired state of a provider.
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
    doc = "Models served by an external provider such as OpenAI, OpenRouter, or vLLM elsewhere: the \
           gateway forwards requests to it with a credential that callers never see.",
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase"}"#,
    printcolumn = r#"{"name": "Provider", "type": "string", "jsonPath": ".spec.provider.hostname"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "CatchAll", "type": "boolean", "priority": 1,
        "jsonPath": ".spec.models.catchAll",
        "description": "Whether the provider receives all otherwise unknown model ids"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "priority": 1,
        "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].reason",
        "description": "Reason of the Accepted condition"}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "priority": 1,
        "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].message",
        "description": "Message of the Accepted condition"}"#
)]
#[schemars(extend("x-kubernetes-validations" = [ratcheted(
    "has(self.models) && (self.models.catchAll || has(self.models.declared) && \
     size(self.models.declared) > 0 || has(self.models.aliases) && size(self.models.aliases) > 0)",
    &["models"],
    "specify which models are forwarded: `models.catchAll: true`, or at least one id in \
     `models.declared` or `models.aliases`",
)]))]
pub struct PassthroughModelSpec {
    /// The provider and how to authenticate to it.
    pub provider: Provider,
    /// Models to forward: `catchAll: true`, or at least one declared id or alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<PassthroughModels>,
    /// Who may use the models: `public: true`, or at least one group.
    pub access: Access,
    /// Endpoints at which the models are available; at least one must be enabled. Both are enabled
    /// by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<PassthroughEndpoints>,
    /// Limits on the use of each model. Unlimited if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<ModelLimits>,
    /// Token prices for usage reports. Has no effect yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing: Option<Pricing>,
}
