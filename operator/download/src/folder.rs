//! The manifest of a folder to copy, such as `/models` of an image.

use crate::{
    checksum::Hasher,
    error::DownloadError,
    fs::FsError,
    hub::{FILES_MAX, InvalidListing, parse_path},
    manifest::{FileEntry, Manifest, WeightsRequest},
    name::{Commit, FilePath},
    part,
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
};
use tokio_util::sync::CancellationToken;

/// Reads all files of a folder. Links are followed within it, and refused if they lead outside.
/// The commit is a digest of the files.
pub(crate) fn manifest(
    folder: &Path,
    request: &WeightsRequest,
    shutdown: &CancellationToken,
) -> Result<Manifest, DownloadError> {
    let root = folder.canonicalize().map_err(FsError::at("opening", folder))?;
    let invalid = |source| DownloadError::Folder { path: root.clone(), source };
    let (mut files, mut folders) = (BTreeMap::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(&folder).map_err(FsError::at("reading", &folder))? {
            let item = item.map_err(FsError::at("reading", &folder))?;
            let path = item.path();
            if item.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if files.len() == FILES_MAX {
                return Err(invalid(InvalidListing::TooManyFiles));
            } else {
                files.insert(file_path(&root, &path)?, file_entry(&root, &path, shutdown)?);
            }
        }
    }
    if files.is_empty() {
        return Err(invalid(InvalidListing::NoFiles));
    }
    Ok(Manifest { request: request.clone(), commit: digest(&files), files })
}

fn file_path(root: &Path, path: &Path) -> Result<FilePath, DownloadError> {
    let relative = path.strip_prefix(root).ok().and_then(Path::to_str);
    relative
        .ok_or(InvalidListing::NotAFile)
        .and_then(|relative| parse_path(relative.to_owned()))
        .map_err(|source| DownloadError::Folder { path: path.to_owned(), source })
}

fn file_entry(
    root: &Path,
    path: &Path,
    shutdown: &CancellationToken,
) -> Result<FileEntry, DownloadError> {
    let target = path.canonicalize().map_err(FsError::at("opening", path))?;
    if !target.starts_with(root) || !target.is_file() {
        let source = InvalidListing::NotAFile;
        return Err(DownloadError::Folder { path: path.to_owned(), source });
    }
    let mut file = File::open(&target).map_err(FsError::at("opening", path))?;
    let mut hasher = Hasher::sha256();
    let size = part::hash(&mut file, path, &mut hasher, shutdown)?;
    Ok(FileEntry { size, checksum: hasher.checksum() })
}

/// A digest of all files.
fn digest(files: &BTreeMap<FilePath, FileEntry>) -> Commit {
    let mut hasher = Hasher::sha256();
    for (path, FileEntry { size, checksum }) in files {
        hasher.update(format!("{path}\0{size}\0{checksum}\0").as_bytes());
    }
    Commit::from_digest(&hasher)
}
