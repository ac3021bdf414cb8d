//! Which models a key in a cluster may ask for.

use llm_contract::{InvalidResourceName, ResourceName};
use std::{fmt, str::FromStr};

/// Models, by the custom resources that declare them.
///
/// ```
/// use llm_keys::Scope;
/// for text in ["*", "models/*", "models/qwen3"] {
///     assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
/// }
/// assert!("qwen3".parse::<Scope>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All models.
    All,
    /// Those of a namespace.
    Namespace(String),
    /// Those of one LLMModel or PassthroughModel.
    Resource(ResourceName),
}

/// Why a text is no such scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write `namespace/name` of an LLMModel or PassthroughModel, `namespace/*` for all of a \
     namespace, or `*` for all"
)]
pub struct InvalidScope;

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        if text == "*" {
            return Ok(Self::All);
        }
        let refuse = |_: InvalidResourceName| InvalidScope;
        let Some(namespace) = text.strip_suffix("/*") else {
            return Ok(Self::Resource(ResourceName::parse(text).map_err(refuse)?));
        };
        // Any name will do: the namespace is what is checked.
        ResourceName::parse(&format!("{namespace}/any")).map_err(refuse)?;
        Ok(Self::Namespace(namespace.to_owned()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Namespace(namespace) => write!(f, "{namespace}/*"),
            Self::Resource(name) => name.fmt(f),
        }
    }
}
