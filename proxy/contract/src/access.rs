//! Who may use a model.

use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// A group of users, as the identity provider names it, without a leading slash.
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

    /// Reads a name. Keycloak writes group paths with a leading slash; it does not count.
    ///
    /// # Errors
    /// [`InvalidGroup`] if it is empty, too long, or has control characters.
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

impl TryFrom<String> for Group {
    type Error = InvalidGroup;
    fn try_from(text: String) -> Result<Self, InvalidGroup> {
        Self::parse(&text)
    }
}

impl From<Group> for String {
    fn from(group: Group) -> Self {
        group.0.as_ref().into()
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Who may use a model.
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
    /// Members of any of these groups; nobody if there are none.
    Groups(Vec<Group>),
}

/// Why an access rule is refused.
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
    /// Checks what a document says.
    ///
    /// # Errors
    /// [`InvalidAccess`] unless exactly one of the two is said.
    pub fn check(groups: Vec<Group>, public: bool) -> Result<Self, InvalidAccess> {
        match (groups.is_empty(), public) {
            (true, true) => Ok(Self::Public),
            (false, false) => Ok(Self::Groups(groups)),
            (true, false) => Err(InvalidAccess::Missing),
            (false, true) => Err(InvalidAccess::Both),
        }
    }

    /// Whether somebody may use the model, given which groups they are a member of.
    pub fn admits(&self, is_member: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Public => true,
            Self::Groups(allowed) => allowed.iter().any(|group| is_member(group.as_str())),
        }
    }
}
