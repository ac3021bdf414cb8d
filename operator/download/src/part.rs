//! A file that is not whole yet: its bytes so far, and their checksum so far.
//!
//! Everything here blocks, so it runs beside the runtime.

use crate::{
    Failure, checksum::Hasher, lock::Unfinished, stop::Stop, tally::Tally, weights::Entry,
};
use bytes::Bytes;
use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};
use tokio::sync::mpsc::Receiver;

/// What is read at a time, in bytes.
const READ_BYTES: usize = 1024 * 1024;

/// A file that is not whole yet.
pub(crate) struct Part {
    file: File,
    at: Unfinished,
    entry: Entry,
    hasher: Hasher,
    bytes: u64,
    tally: Tally,
}

impl Part {
    /// Opens what an earlier try left, or begins. In a folder that is only there while we hold
    /// the lock.
    pub(crate) fn open(
        at: Unfinished,
        entry: Entry,
        tally: Tally,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        let mut file = match options.read(true).write(true).create(true).open(&at.path) {
            Err(error) if is_gone(&error) => return Err(Failure::LostLock),
            opened => opened.map_err(Failure::volume("opening", &at.path))?,
        };
        let (mut hasher, mut bytes) = (entry.checksum.hasher(entry.size), 0);
        read(&mut file, &at.path, stop, |chunk| {
            hasher.update(chunk);
            bytes += len(chunk);
            Ok(())
        })?;
        tally.add(bytes);
        let mut part = Self { file, at, entry, hasher, bytes, tally };
        if part.bytes > part.entry.size {
            part.restart()?;
        }
        Ok(part)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What it will have.
    pub(crate) fn size(&self) -> u64 {
        self.entry.size
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.bytes == self.entry.size
    }

    /// Whether its bytes are those that were promised.
    pub(crate) fn is_right(&self) -> bool {
        self.is_whole() && self.hasher.comes_to(&self.entry.checksum)
    }

    /// Forgets its bytes.
    pub(crate) fn restart(&mut self) -> Result<(), Failure> {
        self.file.set_len(0).map_err(Failure::volume("emptying", &self.at.path))?;
        self.file.rewind().map_err(Failure::volume("emptying", &self.at.path))?;
        self.tally.take_back(self.bytes);
        self.bytes = 0;
        self.hasher = self.entry.checksum.hasher(self.entry.size);
        Ok(())
    }

    /// Adds bytes; more than the file has are no error here, and are not taken.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<Fits, Failure> {
        if len(bytes) > self.entry.size - self.bytes {
            return Ok(Fits::No);
        }
        self.file.write_all(bytes).map_err(Failure::volume("writing", &self.at.path))?;
        self.hasher.update(bytes);
        self.bytes += len(bytes);
        self.tally.add(len(bytes));
        Ok(Fits::Yes)
    }

    /// Adds what comes until nothing more does.
    pub(crate) fn absorb(&mut self, mut chunks: Receiver<Bytes>) -> Result<Fits, Failure> {
        while let Some(chunk) = chunks.blocking_recv() {
            if self.write(&chunk)? == Fits::No {
                return Ok(Fits::No);
            }
        }
        Ok(Fits::Yes)
    }

    /// Adds what another file has from here on.
    pub(crate) fn copy(&mut self, from: &Path, stop: &Stop) -> Result<Fits, Failure> {
        let mut source = File::open(from).map_err(Failure::volume("opening", from))?;
        source.seek(SeekFrom::Start(self.bytes)).map_err(Failure::volume("reading", from))?;
        let mut fits = Fits::Yes;
        read(&mut source, from, stop, |bytes| {
            if fits == Fits::Yes {
                fits = self.write(bytes)?;
            }
            Ok(())
        })?;
        Ok(fits)
    }

    /// Closes it, and sees to it that a loss of power does not lose it.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        self.file.sync_all().map_err(Failure::volume("writing", &self.at.path))
    }
}

/// Whether bytes belong to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fits {
    Yes,
    No,
}

/// Whether a file on the volume has the right bytes; and a loss of power will not change it.
pub(crate) fn is_right(path: &Path, entry: &Entry, stop: &Stop) -> Result<bool, Failure> {
    let mut file = File::open(path).map_err(Failure::volume("opening", path))?;
    let mut hasher = entry.checksum.hasher(entry.size);
    read(&mut file, path, stop, |bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    if !hasher.comes_to(&entry.checksum) {
        return Ok(false);
    }
    file.sync_all().map_err(Failure::volume("writing", path))?;
    Ok(true)
}

/// Reads all that is left, unless we are to stop.
pub(crate) fn read(
    file: &mut File,
    path: &Path,
    stop: &Stop,
    mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        stop.check()?;
        let count = match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(Failure::volume("reading", path))?,
        };
        each(buffer.get(..count).unwrap_or_default())?;
    }
}

/// Whether a path is not there any more, or was on a server that has forgotten it.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
