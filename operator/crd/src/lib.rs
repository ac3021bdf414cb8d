//! The custom resources people write: `LLMModel`, `PassthroughModel` and `ApiKey`.
//!
//! The doc comments here are what `kubectl explain` shows, so they speak to the people who write
//! the resources. Optional fields stay `Option`s, because the API server must not fill in what an
//! older manifest left out; the methods beside them give the values in effect. Nothing here
//! touches a cluster or a clock.
//!
//! A field of the first release keeps the widest type that its schema ever accepted: a stored
//! object that breaks a rule of today must still be readable.

#![warn(missing_docs)]

mod access;
mod condition;
mod duration;
mod limits;
mod pricing;
mod rule;
mod definition;
mod llm_model;
mod passthrough_model;
mod api_key;
pub mod generate;

pub use access::Access;
pub use api_key::{ApiKeyOwner, ApiKeyResource, ApiKeySpec, ApiKeyStatus, Owner, Replaces};
pub use condition::{
    ConditionType, Finding, MESSAGE_BYTES_MAX, Reason, retain_conditions, set_condition,
};
pub use definition::definitions;
pub use duration::DurationText;
pub use limits::{CallerLimits, Limits, Queue};
pub use llm_model::{
    Accelerator, Adapter, Advanced, AdvancedVllm, Download, Endpoints, ExternalEndpoint, Files,
    Gpu, Ignored, InferencePool, InternalEndpoint, KvCacheOffload, LLMModel, LLMModelSpec,
    LLMModelStatus, Model, Monitoring, Phase, ReplicaCounts, Resources, Routing, RoutingPolicy,
    Scaling, Serving, Source, Storage, StorageAccessMode, StorageType, UpdateStrategy,
};
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
/// Their only version.
pub const VERSION: &str = "v1alpha1";

/// Where a model is reached; written by the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointUrls {
    /// The base URL for callers with API keys, for example `https://llm.example.org`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<String>,
    /// The base URL for callers with tokens of an identity provider, for example
    /// `https://llm-internal.example.org`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal: Option<String>,
}
