//! What was used: one line of JSON for each exchange, in files that are turned over when they
//! are full.

mod read;

pub use read::{Damaged, Place, read};

use crate::stage::record::UsageEvent;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use tokio::sync::mpsc::{self, error::TryRecvError};

/// How long an event may wait to be written.
const GATHERED_FOR: Duration = Duration::from_millis(200);
const FOLDER: &str = "usage";
/// A file is turned over when it has this many bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Files that are kept; the oldest goes first.
const FILES_MAX: usize = 64;

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Its folder.
    #[error("the folder {} cannot be used; mend it, or name another with --usage", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// One of its files.
    #[error("reading {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Writes usage events down.
pub struct Ledger {
    folder: PathBuf,
    number: u64,
    file: BufWriter<File>,
    bytes: u64,
}

impl Ledger {
    /// Goes on in the last file of the data folder. A line that a crash left half written is
    /// ended, so that only that one is lost.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn open(data_dir: &Path) -> Result<Self, LedgerError> {
        let folder = data_dir.join(FOLDER);
        let unusable = |source| LedgerError::Folder { folder: folder.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(unusable)?;
        let number = numbers(&folder).map_err(unusable)?.last().copied().unwrap_or(1);
        let mut file = append(&folder, number).map_err(unusable)?;
        let bytes = end_last_line(&mut file).map_err(unusable)?;
        Ok(Self { folder, number, file: BufWriter::new(file), bytes })
    }

    /// Writes events until nobody sends any more. Waits for them; give it a thread.
    pub fn write_all(mut self, mut events: mpsc::Receiver<UsageEvent>) {
        loop {
            // Waiting for each event would wake this thread once for every request.
            thread::sleep(GATHERED_FOR);
            match self.write_waiting(&mut events) {
                Ok(TryRecvError::Empty) => {}
                Ok(TryRecvError::Disconnected) => break,
                Err(error) => tracing::error!(%error, "usage could not be written down"),
            }
        }
        if let Err(error) = self.file.flush().and_then(|()| self.file.get_ref().sync_all()) {
            tracing::error!(%error, "usage could not be written down");
        }
    }

    /// Writes what waits; says whether more may come.
    fn write_waiting(
        &mut self,
        events: &mut mpsc::Receiver<UsageEvent>,
    ) -> io::Result<TryRecvError> {
        loop {
            match events.try_recv() {
                Ok(event) => self.write(&event)?,
                Err(nothing) => {
                    self.file.flush()?;
                    return Ok(nothing);
                }
            }
        }
    }

    fn write(&mut self, event: &UsageEvent) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        if FILE_BYTES_MAX < self.bytes + line.len() as u64 {
            self.turn_over()?;
        }
        self.bytes += line.len() as u64;
        self.file.write_all(&line)
    }

    fn turn_over(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        self.number += 1;
        self.file = BufWriter::new(append(&self.folder, self.number)?);
        self.bytes = 0;
        let numbers = numbers(&self.folder)?;
        for number in numbers.iter().take(numbers.len().saturating_sub(FILES_MAX)) {
            let path = path(&self.folder, *number);
            fs::remove_file(&path)?;
            tracing::warn!(path = %path.display(), "the oldest usage was dropped");
        }
        Ok(())
    }
}

fn append(folder: &Path, number: u64) -> io::Result<File> {
    let path = path(folder, number);
    OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)
}

/// The file's length afterwards, in bytes.
fn end_last_line(file: &mut File) -> io::Result<u64> {
    let bytes = file.metadata()?.len();
    if bytes == 0 {
        return Ok(0);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(bytes);
    }
    file.write_all(b"\n")?;
    Ok(bytes + 1)
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("usage-{number:08}.jsonl"))
}

/// The numbers of the files, the oldest first.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number: Option<u64> = name
            .to_str()
            .and_then(|name| name.strip_prefix("usage-")?.strip_suffix(".jsonl")?.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests;
