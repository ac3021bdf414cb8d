//! The kinds of custom resources, as in a manifest.

pub const LLM_MODEL: &str = "LLMModel";
pub const PASSTHROUGH_MODEL: &str = "PassthroughModel";
pub const API_KEY: &str = "ApiKey";

/// A kind of custom resource that declares models, in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ModelKind {
    /// `LLMModel`.
    Served,
    /// `PassthroughModel`.
    Provider,
}
