//! The models that a key in a cluster may use.

use llm_contract::{InvalidResourceName, ResourceName};
use std::{fmt, str::FromStr};

/// Models, by the custom resources that define them.
///
/// ```
/// use llm_keys::ResourceScope;
/// for text in ["*", "models/*", "models/qwen3"] {
///     assert_eq!(text.parse::<ResourceScope>().unwrap().to_string(), text);
/// }
/// assert!("qwen3".parse::<ResourceScope>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceScope {
    All,
    Namespace(String),
    /// An LLMModel or PassthroughModel.
    Resource(ResourceName),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write `namespace/name` of an LLMModel or PassthroughModel, `namespace/*` for all in a \
     namespace, or `*` for all"
)]
pub struct InvalidResourceScope;

impl FromStr for ResourceScope {
    type Err = InvalidResourceScope;

    fn from_str(text: &str) -> Result<Self, InvalidResourceScope> {
        if text == "*" {
            return Ok(Self::All);
        }
        let refuse = |_: InvalidResourceName| InvalidResourceScope;
        let Some(namespace) = text.strip_suffix("/*") else {
            return Ok(Self::Resource(ResourceName::parse(text).map_err(refuse)?));
        };
        // Any name will do to check the namespace.
        ResourceName::parse(&format!("{namespace}/any")).map_err(refuse)?;
        Ok(Self::Namespace(namespace.to_owned()))
    }
}

impl fmt::Display for ResourceScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Namespace(namespace) => write!(f, "{namespace}/*"),
            Self::Resource(name) => name.fmt(f),
        }
    }
}
