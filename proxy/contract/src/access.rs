//! Who may use a model.

use crate::text::str_newtype;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A group of the identity provider, without a leading slash.
///
/// ```
/// use llm_contract::Group;
/// assert_eq!(Group::parse("/ml-team").unwrap(), Group::parse("ml-team").unwrap());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Group(Arc<str>);

/// Why a text is not a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a group has 1 to {} bytes and no control characters", Group::BYTES_MAX)]
pub struct InvalidGroup;

impl Group {
    /// The longest group name, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// Parses a name; one leading slash, as Keycloak writes it, is dropped.
    pub fn parse(text: &str) -> Result<Self, InvalidGroup> {
        let name = text.strip_prefix('/').unwrap_or(text);
        if name.is_empty() || Self::BYTES_MAX < name.len() || name.chars().any(char::is_control) {
            return Err(InvalidGroup);
        }
        Ok(Self(name.into()))
    }

    /// The name without a leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

str_newtype!(Group, InvalidGroup);

/// The groups that may use a model, or everyone.
///
/// ```
/// use llm_contract::{Access, Group};
/// let access = Access::Groups(vec![Group::parse("ml-team").unwrap()]);
/// assert!(access.admits(|group| group == "ml-team"));
/// assert!(!access.admits(|_| false));
/// assert!(Access::Public.admits(|_| false));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone with a valid credential.
    Public,
    /// Members of any of these groups; none if empty.
    Groups(Vec<Group>),
}

/// Why an access rule is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAccess {
    /// Neither `groups` nor `public: true`.
    #[error("say who may use it: `groups: [..]` or `public: true`")]
    Missing,
    /// Both at once: one of them would have no effect.
    #[error("`groups` and `public: true` exclude each other")]
    Both,
}

impl Access {
    /// Parses the two fields of a document, exactly one of them set.
    pub fn check(groups: Vec<Group>, public: bool) -> Result<Self, InvalidAccess> {
        match (groups.is_empty(), public) {
            (true, true) => Ok(Self::Public),
            (false, false) => Ok(Self::Groups(groups)),
            (true, false) => Err(InvalidAccess::Missing),
            (false, true) => Err(InvalidAccess::Both),
        }
    }

    /// Whether a caller may use the model, given their group memberships.
    pub fn admits(&self, is_member: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Public => true,
            Self::Groups(allowed) => allowed.iter().any(|group| is_member(group.as_str())),
        }
    }
}
