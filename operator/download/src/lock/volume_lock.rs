//! The held lock, and what only its holder may do.

use super::{file_lock::FileLock, heartbeat};
use crate::fs::{FsError, is_gone, list, size};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::mpsc::Sender,
};
use tokio_util::sync::CancellationToken;

/// How often another holder may refill its folder while we remove it.
const FENCE_ROUNDS_MAX: usize = 100;
const FOLDER_PREFIX: &str = "work-";
/// In the folder of a holder that writes no more.
const RELEASED: &str = "released";
/// The extension of partial files.
const PART: &str = "part";

/// Proof that we alone write to a volume, as long as its renames succeed.
#[derive(Debug)]
pub(crate) struct VolumeLock {
    pub(super) home: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) file_lock: FileLock,
    pub(super) _heartbeat: Sender<()>,
    /// Whether another process had it first, and may have done our work.
    pub(crate) waited: bool,
}

impl VolumeLock {
    /// Takes the partial files of all earlier holders, and removes their folders. Before that
    /// nothing on the volume may be trusted.
    pub(crate) fn fence(&self, shutdown: &CancellationToken) -> Result<(), FsError> {
        for _ in 0..FENCE_ROUNDS_MAX {
            let mut others = folders(&self.home)?;
            others.retain(|other| *other != self.folder);
            if others.is_empty() {
                return Ok(());
            }
            for other in others {
                self.adopt_parts(&other, shutdown)?;
                let _ = fs::remove_dir_all(other);
            }
        }
        Err(FsError::LostLock)
    }

    /// Moves partial files here, or copies those whose writer may wake up and write on.
    fn adopt_parts(&self, from: &Path, shutdown: &CancellationToken) -> Result<(), FsError> {
        self.check()?;
        let is_dead = is_released(from) || self.file_lock.proves_dead(from);
        for theirs in parts(from)? {
            if shutdown.is_cancelled() {
                return Err(FsError::Interrupted);
            }
            let ours = self.part_path(file_name(&theirs));
            if size(&ours) < size(&theirs) {
                // On failure the file is downloaded again, which is slower but not wrong.
                let _ = if is_dead {
                    fs::rename(&theirs, &ours)
                } else {
                    fs::copy(&theirs, &ours).map(drop)
                };
            }
        }
        Ok(())
    }

    pub(crate) fn part_path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Removes partial files that are no longer wanted.
    pub(crate) fn retain_parts(&self, wanted: impl Fn(&str) -> bool) -> Result<(), FsError> {
        for path in parts(&self.folder)? {
            if !wanted(file_name(&path)) {
                fs::remove_file(&path).map_err(FsError::at("removing", &path))?;
            }
        }
        Ok(())
    }

    /// Makes a file from our folder visible.
    pub(crate) fn publish(&self, name: &str, to: &Path) -> Result<(), FsError> {
        fs::rename(self.part_path(name), to).map_err(|error| self.error("publishing", to, error))
    }

    /// Makes a small document visible, whole or not at all.
    pub(crate) fn publish_document(&self, text: &[u8], to: &Path) -> Result<(), FsError> {
        let written = File::create(self.part_path("document")).and_then(|mut file| {
            file.write_all(text)?;
            file.sync_all()
        });
        written.map_err(|error| self.error("writing", to, error))?;
        self.publish("document", to)
    }

    /// Removes a file, if it exists.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), FsError> {
        let trash = self.folder.join("trash");
        match fs::rename(path, &trash).and_then(|()| fs::remove_file(&trash)) {
            Err(error) if is_gone(&error) => self.check(),
            removed => removed.map_err(|error| self.error("removing", path, error)),
        }
    }

    /// Fails if another process has taken over.
    pub(crate) fn check(&self) -> Result<(), FsError> {
        if heartbeat::read(&self.folder).is_some() {
            return Ok(());
        }
        Err(FsError::LostLock)
    }

    fn error(&self, action: &'static str, path: &Path, error: io::Error) -> FsError {
        self.check().err().unwrap_or_else(|| FsError::at(action, path)(error))
    }

    /// Gives the lock up; partial files stay for the next holder.
    pub(crate) fn release(self) -> Result<(), FsError> {
        let released = if parts(&self.folder)?.is_empty() {
            fs::remove_dir_all(&self.folder)
        } else {
            File::create(self.folder.join(RELEASED)).map(drop)
        };
        released.map_err(FsError::at("releasing", &self.folder))
    }
}

pub(super) fn folder(home: &Path, id: &str) -> PathBuf {
    home.join(format!("{FOLDER_PREFIX}{id}"))
}

/// The folders of all holders.
pub(super) fn folders(home: &Path) -> Result<Vec<PathBuf>, FsError> {
    let mut paths = list(home)?;
    paths.retain(|path| file_name(path).starts_with(FOLDER_PREFIX));
    Ok(paths)
}

/// Whether the owner of a folder writes no more.
pub(super) fn is_released(folder: &Path) -> bool {
    folder.join(RELEASED).exists()
}

fn parts(folder: &Path) -> Result<Vec<PathBuf>, FsError> {
    let mut paths = list(folder)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == PART));
    Ok(paths)
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}
