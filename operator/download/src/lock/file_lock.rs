//! `flock` on the volume.

use crate::fs::FsError;
use rustix::io::Errno;
use std::{
    fs::{self, File, TryLockError},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

const FILE: &str = "lock";

/// What `flock` says about other processes.
#[derive(Debug)]
pub(super) enum FileLock {
    /// We hold it. `scope` names the kernel and mount on which it certainly excludes others.
    Held { _file: File, scope: Option<String> },
    /// Not supported by this file system, or not used.
    Unavailable,
}

impl FileLock {
    /// Tries to lock; `None` while another process holds the lock.
    pub(super) fn try_acquire(home: &Path) -> Result<Option<Self>, FsError> {
        let path = home.join(FILE);
        let file = File::options().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(FsError::at("opening", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self::Held { scope: scope(&file), _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => match Errno::from_io_error(&error) {
                Some(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Some(Self::Unavailable)),
                _ => Err(FsError::at("locking", &path)(error)),
            },
        }
    }

    /// What the name of a holder's folder ends with.
    pub(super) fn suffix(&self) -> &str {
        match self {
            Self::Held { scope: Some(scope), .. } => scope,
            Self::Held { scope: None, .. } | Self::Unavailable => "",
        }
    }

    /// Whether the owner of a folder must be dead, because we hold what it held until it died.
    pub(super) fn proves_dead(&self, folder: &Path) -> bool {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        !self.suffix().is_empty() && name.ends_with(self.suffix())
    }
}

/// One boot of one kernel, and one mount there.
fn scope(file: &File) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(format!(".{}.{:x}", boot.trim(), file.metadata().ok()?.dev()))
}
