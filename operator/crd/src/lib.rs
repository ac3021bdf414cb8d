//! The custom resources: `LLMModel`, `PassthroughModel` and `ApiKey`.
//!
//! `kubectl explain` shows the doc comments of fields, so they address users. Optional fields stay
//! `Option`s because the API server must not add defaults that older manifests omitted; methods
//! give the values in effect. Nothing here accesses a cluster or a clock.
//!
//! A field of the first release keeps the widest type its schema ever accepted: stored objects that
//! violate today's rules must still deserialize.

#![warn(missing_docs)]

mod access;
mod condition;
mod duration;
mod model_limits;
mod pricing;
mod rule;
mod definition;
mod llm_model;
mod passthrough_model;
mod api_key;
pub mod generate;

pub use access::Access;
pub use api_key::{ApiKeyOwner, ApiKeyResource, ApiKeySpec, ApiKeyStatus, OwnerIdentity, Replaces};
pub use condition::{
    ConditionType, Finding, MESSAGE_BYTES_MAX, Reason, retain_conditions, set_condition,
};
pub use definition::definitions;
pub use duration::DurationText;
pub use llm_model::{
    Accelerator, Adapter, Advanced, AdvancedVllm, Download, Endpoints, ExternalEndpoint, Files,
    Gpu, InferencePool, InternalEndpoint, KvCacheOffload, LLMModel, LLMModelSpec, LLMModelStatus,
    Model, Monitoring, Phase, ReplicaCounts, Resources, Routing, RoutingPolicy, Scaling, Serving,
    Source, Storage, StorageAccessMode, StorageType, UpdateStrategy,
};
pub use model_limits::{CallerLimits, ModelLimits, RequestQueue};
pub use passthrough_model::{
    Backend, BackendType, Bedrock, Credential, CredentialHeader, CredentialType, DeclaredAlias,
    EndpointSwitch, Header, PassthroughEndpoints, PassthroughModel, PassthroughModelSpec,
    PassthroughModelStatus, PassthroughModels, PassthroughPhase, Provider, ProviderTimeouts,
    Scheme,
};
pub use pricing::Pricing;

use serde::{Deserialize, Serialize};

/// The API group of all three kinds.
pub const GROUP: &str = "llm.nebari.dev";
/// Their API version.
pub const VERSION: &str = "v1alpha1";

/// URLs at which a model is available.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointUrls {
    /// Base URL for callers with API keys, for example `https://llm.example.org`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<String>,
    /// Base URL for callers with identity provider tokens, for example
    /// `https://llm-internal.example.org`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal: Option<String>,
}
