//! Names of repositories, revisions, commits and files, validated when they are parsed.

use crate::checksum::Hasher;
use serde::{Deserialize, Serialize};
use std::{fmt, path::Path, str::FromStr};

/// The hub's own limit.
const REPO_NAME_BYTES_MAX: usize = 96;
const REVISION_BYTES_MAX: usize = 255;
const PATH_BYTES_MAX: usize = 1024;
/// The limit of common file systems.
const COMPONENT_BYTES_MAX: usize = 255;
const COMPONENTS_MAX: usize = 32;
/// What our own files on a volume begin with.
pub(crate) const OURS: &str = ".llm-download";

/// A repository on the hub: `owner/name`, or `name` for a few old ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RepoId(String);

/// A branch, a tag or a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revision(String);

/// The full id of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Commit(String);

/// The path of a file in a repository: relative, and never leading outside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct FilePath(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a repository is `owner/name`, each of at most {REPO_NAME_BYTES_MAX} letters, digits, `-`, `_` \
     and `.`, without `-` or `.` at either end"
)]
pub(crate) struct InvalidRepoId;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a revision is a branch, a tag or a commit: printable, without spaces, at most \
     {REVISION_BYTES_MAX} bytes"
)]
pub(crate) struct InvalidRevision;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a commit is 40 hexadecimal digits in lower case")]
pub(crate) struct InvalidCommit;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    #[error("it is empty, absolute, or has an empty component, `.` or `..`")]
    Escapes,
    #[error("it has a control character")]
    Control,
    #[error(
        "it is longer than {PATH_BYTES_MAX} bytes, has more than {COMPONENTS_MAX} components, or \
         one of them is longer than {COMPONENT_BYTES_MAX} bytes"
    )]
    TooLong,
    #[error("it begins with `{OURS}`, which is reserved")]
    Reserved,
}

impl RepoId {
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl Revision {
    /// The hub's default.
    pub(crate) const DEFAULT: &str = "main";

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Commit {
    /// The first 40 digits of a digest, for weights without a commit.
    pub(crate) fn from_digest(digest: &Hasher) -> Self {
        Self(digest.hex().chars().take(40).collect())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FilePath {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl FromStr for RepoId {
    type Err = InvalidRepoId;

    fn from_str(text: &str) -> Result<Self, InvalidRepoId> {
        let fits = text.split('/').count() <= 2
            && text.split('/').all(is_repo_name)
            && !text.contains("--")
            && !text.contains("..")
            && !text.ends_with(".git");
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidRepoId) }
    }
}

fn is_repo_name(name: &str) -> bool {
    let edge = ['-', '.'];
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=REPO_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with(edge)
        && !name.ends_with(edge)
}

impl FromStr for Revision {
    type Err = InvalidRevision;

    fn from_str(text: &str) -> Result<Self, InvalidRevision> {
        let fits = (1..=REVISION_BYTES_MAX).contains(&text.len())
            && text.chars().all(|c| !c.is_control() && !c.is_whitespace())
            && text.split('/').all(|component| !matches!(component, "" | "." | ".."));
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidRevision) }
    }
}

impl TryFrom<String> for Commit {
    type Error = InvalidCommit;

    fn try_from(text: String) -> Result<Self, InvalidCommit> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let fits = text.len() == 40 && text.bytes().all(digit);
        if fits { Ok(Self(text)) } else { Err(InvalidCommit) }
    }
}

impl TryFrom<String> for FilePath {
    type Error = InvalidPath;

    fn try_from(text: String) -> Result<Self, InvalidPath> {
        if text.split('/').any(|component| matches!(component, "" | "." | "..")) {
            return Err(InvalidPath::Escapes);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidPath::Control);
        }
        if text.len() > PATH_BYTES_MAX
            || text.split('/').count() > COMPONENTS_MAX
            || text.split('/').any(|component| component.len() > COMPONENT_BYTES_MAX)
        {
            return Err(InvalidPath::TooLong);
        }
        if text.starts_with(OURS) {
            return Err(InvalidPath::Reserved);
        }
        Ok(Self(text))
    }
}

impl AsRef<Path> for FilePath {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

    #[test]
    fn a_repository_id_follows_the_rules_of_the_hub() {
        for (text, valid) in [
            ("Qwen/Qwen3.5-35B-A3B-GPTQ-Int4", true),
            ("gpt2", true),
            ("a/b/c", false),
            ("../etc", false),
            ("a/..", false),
            ("-a/b", false),
            ("a/b.git", false),
            ("a--b/c", false),
            ("a/b?c", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<RepoId>().is_ok(), valid, "{text}");
        }
    }

    #[test]
    fn a_revision_may_have_slashes_but_no_parent_folders() {
        for (text, valid) in
            [("main", true), ("refs/pr/1", true), ("..", false), ("a/../b", false), ("a b", false)]
        {
            assert_eq!(text.parse::<Revision>().is_ok(), valid, "{text}");
        }
    }

    #[test]
    fn a_path_that_leads_outside_is_refused() {
        for (text, error) in [
            ("../x", InvalidPath::Escapes),
            ("a/../../x", InvalidPath::Escapes),
            ("/etc/passwd", InvalidPath::Escapes),
            ("a//b", InvalidPath::Escapes),
            ("", InvalidPath::Escapes),
            ("a\0b", InvalidPath::Control),
            (".llm-download.json", InvalidPath::Reserved),
            (".llm-download/lock", InvalidPath::Reserved),
            (&"a".repeat(256), InvalidPath::TooLong),
            (&"a/".repeat(40), InvalidPath::Escapes),
        ] {
            assert_eq!(FilePath::try_from(text.to_owned()), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_valid_path_stays_inside(text in "[./a\\\\\u{0}\u{7f}é-]{0,40}") {
            if let Ok(path) = FilePath::try_from(text) {
                let inside = |part| matches!(part, Component::Normal(_));
                prop_assert!(Path::new(path.as_str()).components().all(inside));
            }
        }
    }
}
