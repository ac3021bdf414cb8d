//! Reads the hub's list of files. Everything in it is hostile.

use crate::{
    checksum::Checksum,
    filter::Filter,
    name::{Commit, FilePath, InvalidCommit, InvalidPath},
    weights::Entry,
};
use serde::Deserialize;
use std::collections::BTreeMap;

/// How many files a repository may have.
pub(crate) const FILES_MAX: usize = 10_000;
/// What is told of a bad path, in characters.
const BAD_PATH_CHARS_MAX: usize = 100;

/// Why a list of files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidListing {
    /// Too many bytes.
    #[error("the list is larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// Not what a hub answers.
    #[error("parsing the list; is the endpoint a hub?")]
    Json(#[source] serde_json::Error),
    /// It names no commit.
    #[error("it names no commit; is the endpoint a hub?")]
    Commit,
    /// It is another one than was asked for.
    #[error("it is of another commit than was asked for")]
    OtherCommit,
    /// Too many files.
    #[error("it has more than {FILES_MAX} files")]
    TooManyFiles,
    /// A path we do not write to.
    #[error("the path {path:?} is refused")]
    Path {
        /// Its beginning.
        path: String,
        /// What is wrong with it.
        source: InvalidPath,
    },
    /// One path, two files.
    #[error("it has {0:?} twice")]
    Twice(String),
    /// Nothing to fetch.
    #[error("it has no files, or the patterns in `spec.model.files` match none")]
    NoFiles,
    /// Nothing to check against.
    #[error("the hub gives no size and checksum for {0:?}")]
    NoChecksum(String),
    /// Reading a folder.
    #[error("reading it")]
    Io(#[source] std::io::Error),
    /// Neither a file nor a folder, or not in the folder.
    #[error("it is neither a file nor a folder, or a link to elsewhere")]
    NotAFile,
}

#[derive(Deserialize)]
struct Model {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    #[serde(alias = "oid")]
    sha256: String,
    size: u64,
}

/// The commit, and the files that are wanted; those the list does not describe have no entry.
pub(super) fn parse(
    body: &[u8],
    revision: &str,
    filter: &Filter,
) -> Result<(Commit, BTreeMap<FilePath, Option<Entry>>), InvalidListing> {
    let Model { sha, siblings } = serde_json::from_slice(body).map_err(InvalidListing::Json)?;
    let commit = Commit::try_from(sha.unwrap_or_default())
        .map_err(|InvalidCommit| InvalidListing::Commit)?;
    let asked = Commit::try_from(revision.to_owned());
    if asked.is_ok_and(|asked| asked != commit) {
        return Err(InvalidListing::OtherCommit);
    }
    if siblings.len() > FILES_MAX {
        return Err(InvalidListing::TooManyFiles);
    }
    let mut files = BTreeMap::new();
    for sibling in siblings {
        let entry = sibling.entry();
        let path = path(sibling.rfilename)?;
        if !filter.wants(&path) {
            continue;
        }
        if let Some(_other) = files.insert(path.clone(), entry) {
            return Err(InvalidListing::Twice(path.into()));
        }
    }
    if files.is_empty() { Err(InvalidListing::NoFiles) } else { Ok((commit, files)) }
}

/// A path that may be written to.
pub(crate) fn path(text: String) -> Result<FilePath, InvalidListing> {
    let beginning: String = text.chars().take(BAD_PATH_CHARS_MAX).collect();
    FilePath::try_from(text).map_err(|source| InvalidListing::Path { path: beginning, source })
}

impl Sibling {
    fn entry(&self) -> Option<Entry> {
        if let Some(LargeFile { sha256, size }) = &self.lfs {
            return Some(Entry { size: *size, checksum: Checksum::from_sha256(sha256)? });
        }
        let checksum = Checksum::from_etag(self.blob_id.as_ref()?)?;
        Some(Entry { size: self.size?, checksum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn refusal(body: &str, revision: &str) -> String {
        let filter = Filter::new(&[], &[]).unwrap();
        parse(body.as_bytes(), revision, &filter).unwrap_err().to_string()
    }

    #[test]
    fn a_list_that_cannot_be_used_says_why() {
        let listed = |files: &str| format!(r#"{{"sha":"{COMMIT}","siblings":[{files}]}}"#);
        for (body, why) in [
            ("<html>".to_owned(), "parsing the list; is the endpoint a hub?"),
            ("{}".to_owned(), "it names no commit; is the endpoint a hub?"),
            (listed(""), "it has no files, or the patterns in `spec.model.files` match none"),
            (listed(r#"{"rfilename":"a"},{"rfilename":"a"}"#), "it has \"a\" twice"),
            (listed(r#"{"rfilename":"../a"}"#), "the path \"../a\" is refused"),
        ] {
            assert_eq!(refusal(&body, "main"), why, "{body}");
        }
    }

    #[test]
    fn a_hub_that_answers_another_commit_is_refused() {
        let body = format!(r#"{{"sha":"{COMMIT}","siblings":[]}}"#);
        assert_eq!(refusal(&body, &"f".repeat(40)), InvalidListing::OtherCommit.to_string());
    }
}
