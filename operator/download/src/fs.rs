//! File-system helpers, and the errors of a volume.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};
use tokio_util::sync::CancellationToken;

const READ_BYTES: usize = 1024 * 1024;

/// A failed file-system operation.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    #[error(
        "no space left on the volume while writing {path}: enlarge it \
         (`spec.model.storage.size`); partial files are kept, and the next start resumes them"
    )]
    Full { path: PathBuf },
    #[error(
        "{folder} has {free} bytes free, but {need} are needed (including {margin} to spare): \
         enlarge the volume (`spec.model.storage.size`) or exclude files \
         (`spec.model.files.exclude`)"
    )]
    NoRoom { folder: PathBuf, free: u64, need: u64, margin: u64 },
    #[error(
        "{action} {path} is not permitted: give the pod an `fsGroup`, or make the user it runs \
         as the owner of the folder"
    )]
    Forbidden { action: &'static str, path: PathBuf },
    #[error("{path} is a symbolic link and may lead outside the volume: remove it")]
    SymbolicLink { path: PathBuf },
    #[error("{action} {path}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("stopped by a signal; partial files are kept, and the next start resumes them")]
    Interrupted,
    #[error(
        "another process has taken over the volume because this one showed no sign of life for \
         too long; the other one carries on, and the next start of this one uses its files"
    )]
    LostLock,
}

impl FsError {
    pub(crate) fn at(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| {
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                Self::Full { path }
            } else if source.kind() == io::ErrorKind::PermissionDenied {
                Self::Forbidden { action, path }
            } else {
                Self::Io { action, path, source }
            }
        }
    }
}

/// Whether a path no longer exists, or names what a server has forgotten.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

/// The paths in a folder; none if it does not exist.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>, FsError> {
    match fs::read_dir(folder) {
        Err(error) if is_gone(&error) => Ok(Vec::new()),
        listed => listed
            .and_then(|listed| listed.map(|item| item.map(|item| item.path())).collect())
            .map_err(FsError::at("reading", folder)),
    }
}

/// The size of a file; `None` sorts before that of an empty one.
pub(crate) fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.len())
}

/// Reads the rest of a file in chunks, until shutdown.
pub(crate) fn read_chunks(
    file: &mut File,
    path: &Path,
    shutdown: &CancellationToken,
    mut each: impl FnMut(&[u8]) -> Result<(), FsError>,
) -> Result<(), FsError> {
    let mut buffer = vec![0; READ_BYTES];
    while !shutdown.is_cancelled() {
        let count = match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(FsError::at("reading", path))?,
        };
        each(buffer.get(..count).unwrap_or_default())?;
    }
    Err(FsError::Interrupted)
}

/// Runs async work until it is done or cancelled.
pub(crate) async fn interruptible<T>(
    shutdown: &CancellationToken,
    work: impl Future<Output = T>,
) -> Result<T, FsError> {
    shutdown.run_until_cancelled(work).await.ok_or(FsError::Interrupted)
}

/// Makes the names in a folder survive a power failure. Some network file systems cannot do
/// this, and need not.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), FsError> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced.map_err(FsError::at("writing", folder)),
    }
}
