//! Custom resources by name.

use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// A custom resource that declares models: `namespace/name`.
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

    /// Reads `namespace/name`.
    ///
    /// # Errors
    /// [`InvalidResourceName`] if Kubernetes could not have such an object.
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

    /// The whole of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the slash.
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// What stands after the slash.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

/// The custom resources a key may ask for models of: one, or all of a namespace.
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
    /// This one.
    Exact(ResourceName),
    /// All of this namespace.
    Namespace(Box<str>),
}

impl ResourcePattern {
    /// Reads `namespace/name` or `namespace/*`.
    ///
    /// # Errors
    /// [`InvalidResourceName`].
    pub fn parse(text: &str) -> Result<Self, InvalidResourceName> {
        match text.strip_suffix("/*") {
            Some(namespace) if is_plain(namespace, ResourceName::NAMESPACE_BYTES_MAX) => {
                Ok(Self::Namespace(namespace.into()))
            }
            Some(_) => Err(InvalidResourceName),
            None => ResourceName::parse(text).map(Self::Exact),
        }
    }

    /// Whether this custom resource is among those meant.
    pub fn matches(&self, name: &ResourceName) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Namespace(namespace) => **namespace == *name.namespace(),
        }
    }
}

impl TryFrom<String> for ResourcePattern {
    type Error = InvalidResourceName;
    fn try_from(text: String) -> Result<Self, InvalidResourceName> {
        Self::parse(&text)
    }
}

impl From<ResourcePattern> for String {
    fn from(pattern: ResourcePattern) -> Self {
        pattern.to_string()
    }
}

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

impl TryFrom<String> for ResourceName {
    type Error = InvalidResourceName;
    fn try_from(text: String) -> Result<Self, InvalidResourceName> {
        Self::parse(&text)
    }
}

impl From<ResourceName> for String {
    fn from(name: ResourceName) -> Self {
        name.0.as_ref().into()
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}
