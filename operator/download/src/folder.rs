//! What a folder to copy from consists of, such as `/models` of an image.

use crate::{
    Failure,
    checksum::Hasher,
    hub::{FILES_MAX, InvalidListing, path},
    name::{Commit, FilePath},
    part,
    stop::Stop,
    weights::{Entry, Want, Weights},
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
};

/// Reads everything in a folder. Links are followed to files in it, and refused else. The commit
/// is a digest of what was found.
pub(crate) fn weights(folder: &Path, want: &Want, stop: &Stop) -> Result<Weights, Failure> {
    let root = folder.canonicalize().map_err(Failure::volume("opening", folder))?;
    let (mut files, mut folders) = (BTreeMap::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        stop.check()?;
        let listed = fs::read_dir(&folder).map_err(Failure::volume("reading", &folder))?;
        for item in listed {
            let item = item.map_err(Failure::volume("reading", &folder))?;
            let (is_folder, at) = (item.file_type().is_ok_and(|kind| kind.is_dir()), item.path());
            if is_folder {
                folders.push(at);
                continue;
            }
            if files.len() == FILES_MAX {
                return Err(Failure::Source { path: root, source: InvalidListing::TooManyFiles });
            }
            let name = name(&root, &at)?;
            files.insert(name, read(&root, &at, stop)?);
        }
    }
    if files.is_empty() {
        return Err(Failure::Source { path: root, source: InvalidListing::NoFiles });
    }
    Ok(Weights { want: want.clone(), commit: digest(&files), files })
}

fn name(root: &Path, at: &Path) -> Result<FilePath, Failure> {
    let refuse = |source| Failure::Source { path: at.to_owned(), source };
    let name = at.strip_prefix(root).ok().and_then(Path::to_str);
    path(name.ok_or_else(|| refuse(InvalidListing::NotAFile))?.to_owned()).map_err(refuse)
}

fn read(root: &Path, at: &Path, stop: &Stop) -> Result<Entry, Failure> {
    let to: PathBuf = at.canonicalize().map_err(Failure::volume("opening", at))?;
    if !to.starts_with(root) || !to.is_file() {
        return Err(Failure::Source { path: at.to_owned(), source: InvalidListing::NotAFile });
    }
    let mut file = File::open(&to).map_err(Failure::volume("opening", at))?;
    let (mut hasher, mut size) = (Hasher::sha256(), 0_u64);
    part::read(&mut file, at, stop, |bytes| {
        hasher.update(bytes);
        size = size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    })?;
    Ok(Entry { size, checksum: hasher.sha256_so_far() })
}

/// A digest of all files, as long as a commit.
fn digest(files: &BTreeMap<FilePath, Entry>) -> Commit {
    let mut hasher = Hasher::sha256();
    for (path, Entry { size, checksum }) in files {
        hasher.update(format!("{path}\0{size}\0{checksum}\0").as_bytes());
    }
    Commit::of(&hasher)
}
