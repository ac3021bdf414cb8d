//! The kinds of custom resources.

/// `LLMModel` as in a manifest: a model served in the cluster.
pub const LLM_MODEL: &str = "LLMModel";
/// `PassthroughModel` as in a manifest: models of a provider.
pub const PASSTHROUGH_MODEL: &str = "PassthroughModel";
/// `ApiKey` as in a manifest.
pub const API_KEY: &str = "ApiKey";

/// A kind of custom resource that declares models, in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ModelKind {
    /// `LLMModel`.
    Served,
    /// `PassthroughModel`.
    Provider,
}
