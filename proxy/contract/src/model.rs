//! Model ids and patterns over them.

use crate::text::{serde_as_text, str_newtype};
use serde::{Deserialize, Serialize};
use std::{borrow::Borrow, fmt, sync::Arc};

/// The id a client writes in `"model"`, such as `Qwen/Qwen3-8B`.
///
/// ```
/// use llm_contract::ModelId;
/// assert_eq!(ModelId::parse("Qwen/Qwen3-8B").unwrap().as_str(), "Qwen/Qwen3-8B");
/// assert!(ModelId::parse("qwen\n3").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelId(Arc<str>);

/// Why a text is not a model id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a model id has 1 to {} visible ASCII characters, without quotes or backslashes",
    ModelId::BYTES_MAX
)]
pub struct InvalidModelId;

impl ModelId {
    /// The longest model id, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// Parses an id; without quotes or backslashes, so JSON needs no escapes.
    ///
    /// # Errors
    /// [`InvalidModelId`] if it is empty, too long, or has other than visible ASCII characters.
    pub fn parse(text: &str) -> Result<Self, InvalidModelId> {
        let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if text.is_empty() || Self::BYTES_MAX < text.len() || !text.bytes().all(visible) {
            return Err(InvalidModelId);
        }
        Ok(Self(text.into()))
    }

    /// The id as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

str_newtype!(ModelId, InvalidModelId);

impl Borrow<str> for ModelId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// An id, a prefix such as `demo/*`, or `*` for all.
///
/// ```
/// use llm_contract::ModelPattern;
/// assert!(ModelPattern::parse("demo/*").unwrap().matches("demo/qwen3"));
/// assert!(!ModelPattern::parse("demo/*").unwrap().matches("prod/qwen3"));
/// assert!(ModelPattern::parse("a*b").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ModelPattern {
    /// One id.
    Exact(ModelId),
    /// Every id with this prefix; empty for all.
    Prefix(Box<str>),
}

impl ModelPattern {
    /// Parses an id, or a prefix that ends in `*`.
    ///
    /// # Errors
    /// [`InvalidModelId`] as for [`ModelId::parse`], and for a `*` anywhere but at the end.
    pub fn parse(text: &str) -> Result<Self, InvalidModelId> {
        let Some(prefix) = text.strip_suffix('*') else {
            if text.contains('*') {
                return Err(InvalidModelId);
            }
            return ModelId::parse(text).map(Self::Exact);
        };
        if prefix.contains('*') {
            return Err(InvalidModelId);
        }
        if !prefix.is_empty() {
            ModelId::parse(prefix)?;
        }
        Ok(Self::Prefix(prefix.into()))
    }

    /// Whether the pattern matches this id.
    pub fn matches(&self, model: &str) -> bool {
        match self {
            Self::Exact(id) => id.as_str() == model,
            Self::Prefix(prefix) => model.starts_with(&**prefix),
        }
    }
}

serde_as_text!(ModelPattern, InvalidModelId);

impl fmt::Display for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(id) => id.fmt(f),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}
