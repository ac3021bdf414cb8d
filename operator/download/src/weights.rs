//! What is wanted, what it consists of, and the marker that says it is complete.

use crate::{
    checksum::{Checksum, Hasher},
    name::{Commit, FilePath},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was asked for. Two of these that differ are different weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Want {
    /// `owner/name` on the hub, or `folder:` and a path.
    pub(crate) repository: String,
    /// As asked for: a branch, a tag, a commit.
    pub(crate) revision: String,
    /// Patterns, sorted.
    pub(crate) include: Vec<String>,
    /// Patterns, sorted.
    pub(crate) exclude: Vec<String>,
}

/// All files of what was asked for, at one commit. This is what a marker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Weights {
    #[serde(flatten)]
    pub(crate) want: Want,
    pub(crate) commit: Commit,
    pub(crate) files: BTreeMap<FilePath, Entry>,
}

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// In bytes.
    pub(crate) size: u64,
    pub(crate) checksum: Checksum,
}

impl Want {
    /// Whether a marker with this says that this is here, if the hub has nothing newer.
    pub(crate) fn is_met_by(&self, marker: &Weights) -> bool {
        let Self { repository, revision, include, exclude } = &marker.want;
        (repository, include, exclude) == (&self.repository, &self.include, &self.exclude)
            && (*revision == self.revision || self.is_at(&marker.commit))
    }

    /// Whether exactly this commit was asked for, so that no hub could say anything new.
    pub(crate) fn is_at(&self, commit: &Commit) -> bool {
        self.revision == commit.as_str()
    }
}

impl Weights {
    /// How many bytes all files have.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().fold(0, |sum, entry| sum.saturating_add(entry.size))
    }

    /// How many files there are.
    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.files.len()).unwrap_or(u64::MAX)
    }
}

impl Entry {
    /// The name of the unfinished file: the same for the same bytes at the same path, so that
    /// nobody resumes anything else.
    pub(crate) fn part_name(&self, path: &FilePath) -> String {
        let mut name = Hasher::sha256();
        name.update(format!("{}\0{}\0{path}", self.size, self.checksum).as_bytes());
        format!("{}.part", name.digits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(revision: &str, exclude: &[&str]) -> Want {
        Want {
            repository: "acme/tiny".to_owned(),
            revision: revision.to_owned(),
            include: Vec::new(),
            exclude: exclude.iter().map(ToString::to_string).collect(),
        }
    }

    fn marker(revision: &str, commit: char) -> Weights {
        let commit = commit.to_string().repeat(40).try_into().unwrap();
        Weights { want: want(revision, &[]), commit, files: BTreeMap::new() }
    }

    #[test]
    fn a_marker_of_another_revision_or_filter_does_not_count() {
        let commit = "a".repeat(40);
        for (wanted, met) in [
            (want("main", &[]), true),
            (want(&commit, &[]), true),
            (want("v1", &[]), false),
            (want("main", &["*.bin"]), false),
            (Want { repository: "acme/other".to_owned(), ..want("main", &[]) }, false),
        ] {
            assert_eq!(wanted.is_met_by(&marker("main", 'a')), met, "{wanted:?}");
        }
    }
}
