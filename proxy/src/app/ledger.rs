//! The usage ledger: one line of JSON for each exchange, in files that are rotated when full.

mod read;

pub use read::{DamagedLines, FileLine, read};

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
const WRITE_INTERVAL: Duration = Duration::from_millis(200);
const FOLDER: &str = "usage";
/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most files; the oldest is deleted first.
const FILES_MAX: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("cannot use the folder {}; fix it, or choose another with --usage", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
}

/// Appends usage events to the newest file.
pub struct Ledger {
    folder: PathBuf,
    number: u64,
    file: BufWriter<File>,
    bytes: u64,
}

impl Ledger {
    /// Opens the newest file. A line that a crash left half written is ended, so that only that
    /// one is lost.
    pub fn open(data_dir: &Path) -> Result<Self, LedgerError> {
        let folder = data_dir.join(FOLDER);
        let unusable = |source| LedgerError::Folder { folder: folder.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(unusable)?;
        let number = numbers(&folder).map_err(unusable)?.last().copied().unwrap_or(1);
        let mut file = append(&folder, number).map_err(unusable)?;
        let bytes = end_last_line(&mut file).map_err(unusable)?;
        Ok(Self { folder, number, file: BufWriter::new(file), bytes })
    }

    /// Writes events until all senders are dropped. Blocks: it needs a thread of its own.
    pub fn write_all(mut self, mut events: mpsc::Receiver<UsageEvent>) {
        loop {
            // Waiting for each event would wake this thread once for every request.
            thread::sleep(WRITE_INTERVAL);
            match self.write_pending(&mut events) {
                Ok(TryRecvError::Empty) => {}
                Ok(TryRecvError::Disconnected) => break,
                Err(error) => tracing::error!(%error, "usage could not be written"),
            }
        }
        if let Err(error) = self.file.flush().and_then(|()| self.file.get_ref().sync_all()) {
            tracing::error!(%error, "usage could not be written");
        }
    }

    /// Writes the events that wait. The result tells whether more may come.
    fn write_pending(
        &mut self,
        events: &mut mpsc::Receiver<UsageEvent>,
    ) -> io::Result<TryRecvError> {
        loop {
            match events.try_recv() {
                Ok(event) => self.write(&event)?,
                Err(end) => {
                    self.file.flush()?;
                    return Ok(end);
                }
            }
        }
    }

    fn write(&mut self, event: &UsageEvent) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        if FILE_BYTES_MAX < self.bytes + line.len() as u64 {
            self.rotate()?;
        }
        self.bytes += line.len() as u64;
        self.file.write_all(&line)
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        self.number += 1;
        self.file = BufWriter::new(append(&self.folder, self.number)?);
        self.bytes = 0;
        let numbers = numbers(&self.folder)?;
        for number in numbers.iter().take(numbers.len().saturating_sub(FILES_MAX)) {
            let path = path(&self.folder, *number);
            fs::remove_file(&path)?;
            tracing::warn!(path = %path.display(), "the oldest usage file was deleted");
        }
        Ok(())
    }
}

fn append(folder: &Path, number: u64) -> io::Result<File> {
    let path = path(folder, number);
    OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)
}

/// Returns the file's length, in bytes.
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

/// The numbers of the files, oldest first.
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
