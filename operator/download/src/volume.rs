//! The files on the volume, the marker, and the journal.
//!
//! The marker, `.llm-download.json`, exists exactly while everything it lists is there. The
//! journal, in our own folder, lists what we may have written since the last marker, so that files
//! of other weights are removed, and files of other programs never are.

use crate::{
    fs::{FsError, sync_folder},
    lock::VolumeLock,
    manifest::Manifest,
    name::{FilePath, OURS},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

const DOCUMENT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The space to spare is one part in this many of what is needed.
const MARGIN_DIVISOR: u64 = 100;
const MARGIN_BYTES_MIN: u64 = 1024 * 1024;

/// The folder that the weights are written to.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) root: PathBuf,
}

/// Paths with sizes: a file whose size has changed since is not ours.
type Journal = BTreeSet<(FilePath, u64)>;

impl Volume {
    /// The marker, if all its files exist.
    pub(crate) fn marker(&self) -> Option<Manifest> {
        let marker: Manifest = read_document(&self.marker_path())?;
        marker.files.iter().all(|(path, entry)| self.has(path, entry.size)).then_some(marker)
    }

    /// Whether there is a regular file of this size.
    pub(crate) fn has(&self, path: &FilePath, size: u64) -> bool {
        let found = fs::symlink_metadata(self.file(path));
        found.is_ok_and(|found| found.is_file() && found.len() == size)
    }

    pub(crate) fn file(&self, path: &FilePath) -> PathBuf {
        self.root.join(path)
    }

    /// Journals what will be written, and removes the marker.
    pub(crate) fn begin(&self, lock: &VolumeLock, manifest: &Manifest) -> Result<(), FsError> {
        let mut journal = self.journal();
        let marker: Option<Manifest> = read_document(&self.marker_path());
        for manifest in marker.iter().chain([manifest]) {
            journal.extend(manifest.files.iter().map(|(path, entry)| (path.clone(), entry.size)));
        }
        publish_document(lock, &journal, &self.journal_path())?;
        lock.remove(&self.marker_path())
    }

    /// Checks that there is room; removes stale files first if that helps.
    pub(crate) fn reserve_space(
        &self,
        lock: &VolumeLock,
        bytes: u64,
        keep: impl Fn(&FilePath) -> bool,
    ) -> Result<(), FsError> {
        if bytes == 0 {
            return Ok(());
        }
        let margin = (bytes / MARGIN_DIVISOR).max(MARGIN_BYTES_MIN);
        let need = bytes.saturating_add(margin);
        let free = self.free_bytes()?;
        let stale: u64 = self.stale_files(&keep).iter().map(|(_, size)| size).sum();
        if free < need && free.saturating_add(stale) >= need {
            self.remove_stale_files(lock, &keep)?;
        }
        let free = self.free_bytes()?;
        if free >= need {
            return Ok(());
        }
        Err(FsError::NoRoom { folder: self.root.clone(), free, need, margin })
    }

    /// Moves a complete file to its path.
    pub(crate) fn publish(
        &self,
        lock: &VolumeLock,
        part: &str,
        path: &FilePath,
    ) -> Result<(), FsError> {
        self.check_links(path)?;
        let to = self.file(path);
        let folder = to.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(FsError::at("creating", folder))?;
        lock.publish(part, &to)
    }

    /// Removes files of other weights, and writes the marker.
    pub(crate) fn commit(&self, lock: &VolumeLock, manifest: &Manifest) -> Result<(), FsError> {
        self.remove_stale_files(lock, &|path| manifest.files.contains_key(path))?;
        let files = manifest.files.keys().map(|path| self.file(path));
        let folders: BTreeSet<_> =
            files.filter_map(|file| Some(file.parent()?.to_owned())).collect();
        folders.iter().try_for_each(|folder| sync_folder(folder))?;
        publish_document(lock, manifest, &self.marker_path())?;
        sync_folder(&self.root)?;
        lock.remove(&self.journal_path())
    }

    fn remove_stale_files(
        &self,
        lock: &VolumeLock,
        keep: &impl Fn(&FilePath) -> bool,
    ) -> Result<(), FsError> {
        for (path, _) in self.stale_files(keep) {
            self.check_links(&path)?;
            lock.remove(&self.file(&path))?;
        }
        Ok(())
    }

    fn stale_files(&self, keep: &impl Fn(&FilePath) -> bool) -> Journal {
        let journal = self.journal().into_iter();
        journal.filter(|(path, size)| !keep(path) && self.has(path, *size)).collect()
    }

    /// Fails if a folder of the path is a symbolic link.
    fn check_links(&self, path: &FilePath) -> Result<(), FsError> {
        let mut folder = self.root.clone();
        for component in path.components() {
            if folder != self.root && folder.is_symlink() {
                return Err(FsError::SymbolicLink { path: folder });
            }
            folder.push(component);
        }
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64, FsError> {
        let stat = rustix::fs::statvfs(&self.root).map_err(io::Error::from);
        let stat = stat.map_err(FsError::at("measuring", &self.root))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn journal(&self) -> Journal {
        read_document(&self.journal_path()).unwrap_or_default()
    }

    fn marker_path(&self) -> PathBuf {
        self.root.join(format!("{OURS}.json"))
    }

    fn journal_path(&self) -> PathBuf {
        self.root.join(OURS).join("journal.json")
    }
}

/// Reads a document of ours. A damaged one is treated as missing.
fn read_document<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(DOCUMENT_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn publish_document(
    lock: &VolumeLock,
    document: &impl Serialize,
    to: &Path,
) -> Result<(), FsError> {
    let text = serde_json::to_vec_pretty(document).map_err(io::Error::from);
    lock.publish_document(&text.map_err(FsError::at("writing", to))?, to)
}
