//! A partial file, and the checksum of its bytes so far. Everything here blocks.

use crate::{
    checksum::Hasher,
    fs::{FsError, is_gone, read_chunks},
    manifest::FileEntry,
    progress_reporter::ProgressReporter,
};
use bytes::Bytes;
use std::{
    fs::File,
    io::{Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

pub(crate) struct Part {
    file: File,
    path: PathBuf,
    pub(crate) entry: FileEntry,
    hasher: Hasher,
    pub(crate) bytes: u64,
    /// Whether there were more bytes than the file has. They were not written.
    pub(crate) overflowed: bool,
    progress: ProgressReporter,
}

impl Part {
    /// Opens the partial file of an earlier attempt, or begins one.
    pub(crate) fn open(
        path: PathBuf,
        entry: FileEntry,
        progress: ProgressReporter,
        shutdown: &CancellationToken,
    ) -> Result<Self, FsError> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = match file {
            // The folder exists only while we hold the lock.
            Err(error) if is_gone(&error) => return Err(FsError::LostLock),
            file => file.map_err(FsError::at("opening", &path))?,
        };
        let mut hasher = entry.checksum.hasher(entry.size);
        let bytes = hash(&mut file, &path, &mut hasher, shutdown)?;
        progress.update(|progress| progress.bytes += bytes);
        let mut part = Self { file, path, entry, hasher, bytes, overflowed: false, progress };
        if part.bytes > part.entry.size {
            part.restart()?;
        }
        Ok(part)
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.bytes == self.entry.size
    }

    pub(crate) fn is_verified(&self) -> bool {
        self.is_complete() && self.hasher.checksum() == self.entry.checksum
    }

    /// Discards all bytes.
    pub(crate) fn restart(&mut self) -> Result<(), FsError> {
        self.file.set_len(0).map_err(FsError::at("truncating", &self.path))?;
        self.file.rewind().map_err(FsError::at("truncating", &self.path))?;
        let bytes = self.bytes;
        self.progress.update(|progress| progress.bytes = progress.bytes.saturating_sub(bytes));
        (self.bytes, self.overflowed) = (0, false);
        self.hasher = self.entry.checksum.hasher(self.entry.size);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), FsError> {
        self.overflowed |= len(bytes) > self.entry.size - self.bytes;
        if !self.overflowed {
            self.file.write_all(bytes).map_err(FsError::at("writing", &self.path))?;
            self.hasher.update(bytes);
            self.bytes += len(bytes);
            self.progress.update(|progress| progress.bytes += len(bytes));
        }
        Ok(())
    }

    /// Appends chunks until their sender is dropped, or there are too many.
    pub(crate) fn append_all(&mut self, mut chunks: Receiver<Bytes>) -> Result<(), FsError> {
        while !self.overflowed
            && let Some(chunk) = chunks.blocking_recv()
        {
            self.append(&chunk)?;
        }
        Ok(())
    }

    /// Appends the rest of another file.
    pub(crate) fn copy(
        &mut self,
        from: &Path,
        shutdown: &CancellationToken,
    ) -> Result<(), FsError> {
        let mut source = File::open(from).map_err(FsError::at("opening", from))?;
        source.seek(SeekFrom::Start(self.bytes)).map_err(FsError::at("reading", from))?;
        read_chunks(&mut source, from, shutdown, |bytes| self.append(bytes))
    }

    /// Makes the bytes survive a power failure.
    pub(crate) fn sync(self) -> Result<(), FsError> {
        self.file.sync_all().map_err(FsError::at("writing", &self.path))
    }
}

/// Whether a file on the volume has the right bytes, which then survive a power failure.
pub(crate) fn verify(
    path: &Path,
    entry: &FileEntry,
    shutdown: &CancellationToken,
) -> Result<bool, FsError> {
    let mut file = File::open(path).map_err(FsError::at("opening", path))?;
    let mut hasher = entry.checksum.hasher(entry.size);
    hash(&mut file, path, &mut hasher, shutdown)?;
    if hasher.checksum() != entry.checksum {
        return Ok(false);
    }
    file.sync_all().map_err(FsError::at("writing", path))?;
    Ok(true)
}

/// Hashes the rest of a file, and returns its length.
pub(crate) fn hash(
    file: &mut File,
    path: &Path,
    hasher: &mut Hasher,
    shutdown: &CancellationToken,
) -> Result<u64, FsError> {
    let mut length = 0;
    read_chunks(file, path, shutdown, |bytes| {
        hasher.update(bytes);
        length += len(bytes);
        Ok(())
    })?;
    Ok(length)
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
