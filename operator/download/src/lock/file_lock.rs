//! `flock` on the volume.

use crate::fs::FsError;
use rustix::io::Errno;
use std::{
    fs::{self, File, TryLockError},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// The held `flock`, or none on a file system without.
#[derive(Debug, Default)]
pub(super) struct FileLock {
    _file: Option<File>,
    /// Names the kernel and mount on which it certainly excludes others; the names of holders'
    /// folders end with it.
    pub(super) scope: String,
}

impl FileLock {
    /// Tries to lock; `None` while another process holds the lock.
    pub(super) fn try_acquire(home: &Path) -> Result<Option<Self>, FsError> {
        let path = home.join("lock");
        let file = File::options().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(FsError::at("opening", &path))?;
        match file.try_lock() {
            Ok(()) => {
                let scope = scope(&file).unwrap_or_default();
                Ok(Some(Self { _file: Some(file), scope }))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => match Errno::from_io_error(&error) {
                Some(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Some(Self::default())),
                _ => Err(FsError::at("locking", &path)(error)),
            },
        }
    }

    /// Whether the owner of a folder must be dead, because we hold what it held until it died.
    pub(super) fn proves_dead(&self, folder: &Path) -> bool {
        !self.scope.is_empty() && folder.to_string_lossy().ends_with(&self.scope)
    }
}

/// One boot of one kernel, and one mount there.
fn scope(file: &File) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(format!(".{}.{:x}", boot.trim(), file.metadata().ok()?.dev()))
}
