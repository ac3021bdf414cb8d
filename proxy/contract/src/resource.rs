//! Names of custom resources and patterns over them.

use crate::text::{serde_as_text, str_newtype};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// The name of a custom resource: `namespace/name`.
///
/// ```
/// use llm_contract::ResourceName;
/// let name = ResourceName::parse("models/qwen3").unwrap();
/// assert_eq!((name.namespace(), name.name()), ("models", "qwen3"));
/// assert!(ResourceName::parse("qwen3").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceName(Arc<str>);

/// Why a text is not the name of a custom resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a custom resource is named `namespace/name`, each of 1 to 63 and 1 to 253 lower-case \
     letters, digits, `-` and `.`"
)]
pub struct InvalidResourceName;

impl ResourceName {
    const NAMESPACE_BYTES_MAX: usize = 63;
    const NAME_BYTES_MAX: usize = 253;

    /// Parses `namespace/name`, each as Kubernetes allows it.
    pub fn parse(text: &str) -> Result<Self, InvalidResourceName> {
        match text.split_once('/') {
            Some((namespace, name))
                if is_plain(namespace, Self::NAMESPACE_BYTES_MAX)
                    && is_plain(name, Self::NAME_BYTES_MAX) =>
            {
                Ok(Self(text.into()))
            }
            Some(_) | None => Err(InvalidResourceName),
        }
    }

    /// `namespace/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the slash.
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The part after the slash.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

/// One custom resource, or all of a namespace.
///
/// ```
/// use llm_contract::{ResourceName, ResourcePattern};
/// let all = ResourcePattern::parse("models/*").unwrap();
/// assert!(all.matches(&ResourceName::parse("models/qwen3").unwrap()));
/// assert!(!all.matches(&ResourceName::parse("models2/qwen3").unwrap()));
/// assert!(ResourcePattern::parse("*").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ResourcePattern {
    /// One custom resource.
    Exact(ResourceName),
    /// All custom resources of this namespace.
    Namespace(Box<str>),
}

impl ResourcePattern {
    /// Parses `namespace/name` or `namespace/*`.
    pub fn parse(text: &str) -> Result<Self, InvalidResourceName> {
        match text.strip_suffix("/*") {
            Some(namespace) if is_plain(namespace, ResourceName::NAMESPACE_BYTES_MAX) => {
                Ok(Self::Namespace(namespace.into()))
            }
            Some(_) => Err(InvalidResourceName),
            None => ResourceName::parse(text).map(Self::Exact),
        }
    }

    /// Whether the pattern matches this custom resource.
    pub fn matches(&self, name: &ResourceName) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Namespace(namespace) => **namespace == *name.namespace(),
        }
    }
}

serde_as_text!(ResourcePattern, InvalidResourceName);

impl fmt::Display for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Namespace(namespace) => write!(f, "{namespace}/*"),
        }
    }
}

fn is_plain(part: &str, bytes_max: usize) -> bool {
    let allowed = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"-.".contains(&it);
    !part.is_empty() && part.len() <= bytes_max && part.bytes().all(allowed)
}

str_newtype!(ResourceName, InvalidResourceName);
