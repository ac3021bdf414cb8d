//! The requested weights, and the manifest of their files.

use crate::{
    checksum::{Checksum, Hasher},
    name::{Commit, FilePath},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WeightsRequest {
    /// `owner/name` on the hub, or `folder:` and a path.
    pub(crate) repository: String,
    /// As requested: a branch, a tag or a commit.
    pub(crate) revision: String,
    /// Patterns, sorted.
    pub(crate) include: Vec<String>,
    /// Patterns, sorted.
    pub(crate) exclude: Vec<String>,
}

/// All requested files at one commit; also the content of the marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    #[serde(flatten)]
    pub(crate) request: WeightsRequest,
    pub(crate) commit: Commit,
    pub(crate) files: BTreeMap<FilePath, FileEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    /// In bytes.
    pub(crate) size: u64,
    pub(crate) checksum: Checksum,
}

impl WeightsRequest {
    /// Whether a marker is of this request, if the hub has nothing newer.
    pub(crate) fn matches(&self, marker: &Manifest) -> bool {
        let Self { repository, revision, include, exclude } = &marker.request;
        (repository, include, exclude) == (&self.repository, &self.include, &self.exclude)
            && (*revision == self.revision || self.pins(&marker.commit))
    }

    /// Whether this very commit is requested, so that the hub cannot have anything newer.
    pub(crate) fn pins(&self, commit: &Commit) -> bool {
        self.revision == commit.as_str()
    }
}

impl Manifest {
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().fold(0, |sum, entry| sum.saturating_add(entry.size))
    }

    pub(crate) fn file_count(&self) -> u64 {
        u64::try_from(self.files.len()).unwrap_or(u64::MAX)
    }
}

impl FileEntry {
    /// The name of the partial file: the same for the same bytes at the same path only, so that
    /// nothing else is ever resumed.
    pub(crate) fn part_name(&self, path: &FilePath) -> String {
        let mut name = Hasher::sha256();
        name.update(format!("{}\0{}\0{path}", self.size, self.checksum).as_bytes());
        format!("{}.part", name.hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(revision: &str, exclude: &[&str]) -> WeightsRequest {
        WeightsRequest {
            repository: "acme/tiny".to_owned(),
            revision: revision.to_owned(),
            include: Vec::new(),
            exclude: exclude.iter().map(ToString::to_string).collect(),
        }
    }

    fn marker(revision: &str, commit: char) -> Manifest {
        let commit = commit.to_string().repeat(40).try_into().unwrap();
        Manifest { request: request(revision, &[]), commit, files: BTreeMap::new() }
    }

    #[test]
    fn a_marker_of_another_revision_or_filter_does_not_count() {
        let commit = "a".repeat(40);
        for (request, matches) in [
            (request("main", &[]), true),
            (request(&commit, &[]), true),
            (request("v1", &[]), false),
            (request("main", &["*.bin"]), false),
            (WeightsRequest { repository: "acme/other".to_owned(), ..request("main", &[]) }, false),
        ] {
            assert_eq!(request.matches(&marker("main", 'a')), matches, "{request:?}");
        }
    }
}
