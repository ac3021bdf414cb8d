//! Keys in a folder: one JSON file that several processes may change at once.
//!
//! A change takes the lock, reads, changes, writes a new file beside the old one and renames it,
//! so that a reader sees the old keys or the new ones, also after a crash. A file that cannot be
//! read is never overwritten. Each change writes the whole file: at 100 000 keys about 50 MB.

use crate::{
    InvalidKeys, Keys, KeysError, MintError, NewKey, StoredKey,
    file_lock::{self, LockAttempt},
    mint,
};
use jiff::Timestamp;
use llm_contract::{KeyId, SecretKey};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

const FILE: &str = "keys.json";
const FILE_NEW: &str = "keys.json.new";
const FILE_LOCK: &str = "keys.lock";
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// A change waits at most 250 times 20 ms, 5 s, for that of another process.
const LOCK_ATTEMPTS_MAX: u32 = 250;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The keys in a folder.
///
/// ```
/// let folder = tempfile::tempdir().unwrap();
/// let store = llm_keys::FileStore::at(folder.path());
/// assert!(store.read().unwrap().list().is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct FileStore {
    folder: PathBuf,
}

/// A failed read or change; the keys stay as they were.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {action} {path}", path = path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{path} cannot be used, and was left unchanged; restore it from a backup, or move it away \
         to start without keys",
        path = path.display()
    )]
    Damaged { path: PathBuf, source: InvalidKeys },
    #[error(
        "{path} has been locked by {holder} for {seconds} s; end that process or try again",
        path = path.display(),
        seconds = (LOCK_PAUSE * LOCK_ATTEMPTS_MAX).as_secs()
    )]
    Locked { path: PathBuf, holder: String },
    /// A defect.
    #[error("cannot write keys as JSON")]
    Json(#[source] serde_json::Error),
    #[error(transparent)]
    Mint(#[from] MintError),
    #[error(transparent)]
    Keys(#[from] KeysError),
}

impl FileStore {
    /// The keys in this folder, which the first change creates.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The file, to watch for changes.
    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Reads the keys; none if there is no file yet. Does not wait for a change in progress.
    pub fn read(&self) -> Result<Keys, StoreError> {
        let path = self.path();
        let mut text = Vec::new();
        let mut file = match File::open(&path) {
            Ok(file) => file.take(Keys::BYTES_MAX as u64 + 1),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Keys::default()),
            Err(source) => return Err(StoreError::Io { action: "open", path, source }),
        };
        if let Err(source) = file.read_to_end(&mut text) {
            return Err(StoreError::Io { action: "read", path, source });
        }
        Keys::parse(&text).map_err(|source| StoreError::Damaged { path, source })
    }

    /// Creates a key. The key in clear is returned and stored nowhere.
    pub fn create(
        &self,
        new: NewKey,
        now: Timestamp,
        random: &mut impl FnMut(&mut [u8]) -> io::Result<()>,
    ) -> Result<(StoredKey, SecretKey), StoreError> {
        let minted = mint(random)?;
        let stored = self.change(|keys| keys.create(new, &minted, now))?;
        Ok((stored, minted.key))
    }

    /// See [`Keys::rotate`].
    pub fn rotate(
        &self,
        id: KeyId,
        overlap: Duration,
        now: Timestamp,
        random: &mut impl FnMut(&mut [u8]) -> io::Result<()>,
    ) -> Result<(StoredKey, SecretKey), StoreError> {
        let minted = mint(random)?;
        let stored = self.change(|keys| keys.rotate(id, overlap, &minted, now))?;
        Ok((stored, minted.key))
    }

    pub fn revoke(&self, id: KeyId, now: Timestamp) -> Result<StoredKey, StoreError> {
        self.change(|keys| keys.revoke(id, now))
    }

    pub fn suspend(&self, id: KeyId) -> Result<StoredKey, StoreError> {
        self.change(|keys| keys.suspend(id))
    }

    pub fn resume(&self, id: KeyId) -> Result<StoredKey, StoreError> {
        self.change(|keys| keys.resume(id))
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Keys) -> Result<StoredKey, KeysError>,
    ) -> Result<StoredKey, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(&self.folder)
            .map_err(io_error("create the folder", &self.folder))?;
        // Closing the file, at the end of this function or of the process, releases the lock.
        let _lock = self.lock(LOCK_ATTEMPTS_MAX)?;
        let mut keys = self.read()?;
        let stored = change(&mut keys)?;
        self.write(&keys)?;
        Ok(stored)
    }

    fn lock(&self, attempts: u32) -> Result<File, StoreError> {
        let path = self.folder.join(FILE_LOCK);
        let mut holder = String::new();
        for _ in 0..attempts {
            match file_lock::try_lock(&path).map_err(io_error("lock", &path))? {
                LockAttempt::Acquired(file) => return Ok(file),
                LockAttempt::HeldBy(process) => holder = process,
            }
            thread::sleep(LOCK_PAUSE);
        }
        Err(StoreError::Locked { path, holder })
    }

    fn write(&self, keys: &Keys) -> Result<(), StoreError> {
        let text = keys.to_json().map_err(StoreError::Json)?;
        let (path, path_new) = (self.path(), self.folder.join(FILE_NEW));
        // A file that a crash left under this name was never in force.
        write_whole(&path_new, &text).map_err(io_error("write", &path_new))?;
        fs::rename(&path_new, &path).map_err(io_error("replace", &path))?;
        // Without this, the old file could be back after a power failure.
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(io_error("write the folder", &self.folder))
    }
}

fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(FILE_MODE).open(path)?;
    // The mode above applies to a new file only.
    file.set_permissions(fs::Permissions::from_mode(FILE_MODE))?;
    file.write_all(text)?;
    file.sync_all()
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

#[cfg(test)]
mod tests;
