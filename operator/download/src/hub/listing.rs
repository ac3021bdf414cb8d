//! Parses the hub's list of files, which is not trusted.

use crate::{
    checksum::Checksum,
    filter::Filter,
    manifest::FileEntry,
    name::{Commit, FilePath, InvalidCommit, InvalidPath},
};
use serde::Deserialize;
use std::collections::BTreeMap;

pub(crate) const FILES_MAX: usize = 10_000;
const PRINTED_PATH_CHARS_MAX: usize = 100;

/// Why a list of files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidListing {
    #[error("the list is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("parsing the list; is the endpoint a hub?")]
    Json(#[source] serde_json::Error),
    #[error("it names no commit; is the endpoint a hub?")]
    NoCommit,
    #[error("it is of another commit than the requested one")]
    OtherCommit,
    #[error("it has more than {FILES_MAX} files")]
    TooManyFiles,
    #[error("the path {path:?} is refused")]
    Path { path: String, source: InvalidPath },
    #[error("it lists {0:?} twice")]
    Duplicate(String),
    #[error("it has no files, or the patterns in `spec.model.files` match none")]
    NoFiles,
    #[error("the hub gives no size and checksum for {0:?}")]
    NoChecksum(String),
    #[error("it is neither a file nor a folder, or a link out of the folder")]
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

/// The commit and the selected files, without an entry where the list has only the name.
pub(super) fn parse(
    body: &[u8],
    revision: &str,
    filter: &Filter,
) -> Result<(Commit, BTreeMap<FilePath, Option<FileEntry>>), InvalidListing> {
    let Model { sha, siblings } = serde_json::from_slice(body).map_err(InvalidListing::Json)?;
    let commit = Commit::try_from(sha.unwrap_or_default())
        .map_err(|InvalidCommit| InvalidListing::NoCommit)?;
    let requested = Commit::try_from(revision.to_owned());
    if requested.is_ok_and(|requested| requested != commit) {
        return Err(InvalidListing::OtherCommit);
    }
    if siblings.len() > FILES_MAX {
        return Err(InvalidListing::TooManyFiles);
    }
    let mut files = BTreeMap::new();
    for sibling in siblings {
        let entry = sibling.entry();
        let path = parse_path(sibling.rfilename)?;
        if !filter.matches(&path) {
            continue;
        }
        if let Some(_other) = files.insert(path.clone(), entry) {
            return Err(InvalidListing::Duplicate(path.to_string()));
        }
    }
    if files.is_empty() { Err(InvalidListing::NoFiles) } else { Ok((commit, files)) }
}

pub(crate) fn parse_path(text: String) -> Result<FilePath, InvalidListing> {
    let printed: String = text.chars().take(PRINTED_PATH_CHARS_MAX).collect();
    FilePath::try_from(text).map_err(|source| InvalidListing::Path { path: printed, source })
}

impl Sibling {
    fn entry(&self) -> Option<FileEntry> {
        if let Some(LargeFile { sha256, size }) = &self.lfs {
            return Some(FileEntry { size: *size, checksum: Checksum::from_sha256(sha256)? });
        }
        let checksum = Checksum::from_etag(self.blob_id.as_ref()?)?;
        Some(FileEntry { size: self.size?, checksum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn parse_error(body: &str, revision: &str) -> String {
        let filter = Filter::new(&[], &[]).unwrap();
        parse(body.as_bytes(), revision, &filter).unwrap_err().to_string()
    }

    #[test]
    fn an_unusable_list_is_refused_with_the_reason() {
        let listed = |files: &str| format!(r#"{{"sha":"{COMMIT}","siblings":[{files}]}}"#);
        for (body, why) in [
            ("<html>".to_owned(), "parsing the list; is the endpoint a hub?"),
            ("{}".to_owned(), "it names no commit; is the endpoint a hub?"),
            (listed(""), "it has no files, or the patterns in `spec.model.files` match none"),
            (listed(r#"{"rfilename":"a"},{"rfilename":"a"}"#), "it lists \"a\" twice"),
            (listed(r#"{"rfilename":"../a"}"#), "the path \"../a\" is refused"),
        ] {
            assert_eq!(parse_error(&body, "main"), why, "{body}");
        }
    }

    #[test]
    fn a_list_of_another_commit_is_refused() {
        let body = format!(r#"{{"sha":"{COMMIT}","siblings":[]}}"#);
        assert_eq!(parse_error(&body, &"f".repeat(40)), InvalidListing::OtherCommit.to_string());
    }
}
