//! What is on the volume: the files, the marker, and the journal.
//!
//! The marker, `.llm-download.json`, is there exactly while everything it lists is. The journal,
//! in our own folder, lists what we may have written since the last marker, so that nothing of
//! other weights stays beside new ones, and nothing of anyone else's is ever removed.

use crate::{
    Failure,
    lock::Lock,
    name::{FilePath, OURS},
    weights::{Entry, Weights},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// The marker and the journal, in bytes.
const DOCUMENT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// What is to stay free, as a part of what is needed.
const SPARE_PART: u64 = 100;
/// What is to stay free at the least, in bytes.
const SPARE_BYTES_MIN: u64 = 1024 * 1024;

/// A folder to put weights in.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    pub(crate) root: PathBuf,
}

/// What we may have written: paths with sizes, so that a file that someone else has put there
/// since is not taken for ours.
type Journal = BTreeSet<(FilePath, u64)>;

impl Volume {
    /// What the marker says, if everything it says is there.
    pub(crate) fn marker(&self) -> Option<Weights> {
        let marker: Weights = read(&self.marker_path())?;
        let complete = marker.files.iter().all(|(path, entry)| self.has(path, entry));
        complete.then_some(marker)
    }

    /// Whether there is a file of this size.
    pub(crate) fn has(&self, path: &FilePath, entry: &Entry) -> bool {
        self.has_size(path, entry.size)
    }

    pub(crate) fn file(&self, path: &FilePath) -> PathBuf {
        self.root.join(path)
    }

    /// Announces what will be written, and that the volume is complete no longer.
    pub(crate) fn retire(&self, lock: &Lock, planned: &Weights) -> Result<(), Failure> {
        let mut journal = self.journal();
        let marker: Option<Weights> = read(&self.marker_path());
        for weights in marker.iter().chain([planned]) {
            journal.extend(weights.files.iter().map(|(path, entry)| (path.clone(), entry.size)));
        }
        publish(lock, &journal, &self.journal_path())?;
        lock.remove(&self.marker_path())
    }

    /// Makes room for so many bytes, or says that there is none. Files that we wrote and that
    /// are not to be kept go first, if that helps.
    pub(crate) fn make_room(
        &self,
        lock: &Lock,
        bytes: u64,
        keep: impl Fn(&FilePath) -> bool,
    ) -> Result<(), Failure> {
        if bytes == 0 {
            return Ok(());
        }
        let margin = (bytes / SPARE_PART).max(SPARE_BYTES_MIN);
        let need = bytes.saturating_add(margin);
        let free = self.free_bytes()?;
        let stale: u64 = self.stale(&keep).iter().map(|(_, size)| size).sum();
        if free < need && free.saturating_add(stale) >= need {
            self.remove_stale(lock, &keep)?;
        }
        let free = self.free_bytes()?;
        if free >= need {
            return Ok(());
        }
        Err(Failure::NoRoom { folder: self.root.clone(), free, need, margin })
    }

    /// Puts a finished file where it belongs.
    pub(crate) fn place(&self, lock: &Lock, part: &str, path: &FilePath) -> Result<(), Failure> {
        self.refuse_links(path)?;
        let to = self.file(path);
        let folder = to.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(Failure::volume("making", folder))?;
        lock.publish(part, &to)
    }

    /// Removes what belongs to other weights, and says that these are complete.
    pub(crate) fn conclude(&self, lock: &Lock, weights: &Weights) -> Result<(), Failure> {
        self.remove_stale(lock, &|path| weights.files.contains_key(path))?;
        let files = weights.files.keys().map(|path| self.file(path));
        let folders: BTreeSet<_> =
            files.filter_map(|file| Some(file.parent()?.to_owned())).collect();
        folders.iter().try_for_each(|folder| sync(folder))?;
        publish(lock, weights, &self.marker_path())?;
        sync(&self.root)?;
        lock.remove(&self.journal_path())
    }

    fn remove_stale(&self, lock: &Lock, keep: &impl Fn(&FilePath) -> bool) -> Result<(), Failure> {
        for (path, _) in self.stale(keep) {
            self.refuse_links(&path)?;
            lock.remove(&self.file(&path))?;
        }
        Ok(())
    }

    fn stale(&self, keep: &impl Fn(&FilePath) -> bool) -> Journal {
        let ours = self.journal().into_iter();
        ours.filter(|(path, size)| !keep(path) && self.has_size(path, *size)).collect()
    }

    fn has_size(&self, path: &FilePath, size: u64) -> bool {
        let found = fs::symlink_metadata(self.file(path));
        found.is_ok_and(|found| found.is_file() && found.len() == size)
    }

    /// Passes if the file is in folders of this volume, not behind a link to somewhere else.
    fn refuse_links(&self, path: &FilePath) -> Result<(), Failure> {
        let mut folder = self.root.clone();
        for part in path.parts() {
            if fs::symlink_metadata(&folder).is_ok_and(|found| found.is_symlink())
                && folder != self.root
            {
                return Err(Failure::SymbolicLink { path: folder });
            }
            folder.push(part);
        }
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64, Failure> {
        let found = rustix::fs::statvfs(&self.root).map_err(io::Error::from);
        let found = found.map_err(Failure::volume("measuring", &self.root))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn journal(&self) -> Journal {
        read(&self.journal_path()).unwrap_or_default()
    }

    fn marker_path(&self) -> PathBuf {
        self.root.join(format!("{OURS}.json"))
    }

    fn journal_path(&self) -> PathBuf {
        self.root.join(OURS).join("journal.json")
    }
}

/// A name that nobody else has.
pub(crate) fn random_name() -> Result<String, Failure> {
    let number = getrandom::u64().map_err(|error| Failure::Start(error.into()))?;
    Ok(format!("{number:016x}"))
}

/// A document of ours. One that is damaged is as good as none: what it says is found out anew.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(DOCUMENT_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn publish(lock: &Lock, document: &impl Serialize, to: &Path) -> Result<(), Failure> {
    let text = serde_json::to_vec_pretty(document).map_err(io::Error::from);
    lock.publish_document(&text.map_err(Failure::volume("writing", to))?, to)
}

/// Sees to it that a loss of power does not lose a name. Some network file systems know no such
/// thing, and need none.
fn sync(folder: &Path) -> Result<(), Failure> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced.map_err(Failure::volume("writing", folder)),
    }
}
