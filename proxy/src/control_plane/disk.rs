//! The last good table on disk, so that a proxy which starts while no operator answers serves
//! all the same.
//!
//! A file holds the table as it was, then each change. When the changes have grown larger than
//! the table it is written anew, beside the old one, which it then replaces: so there is a whole
//! one at any time, and a change costs what it changes. It is written on a thread of its own.

use super::{
    journal::{self, Damaged, Reader},
    parts::{InvalidUpdate, Parts, Update},
    received::Received,
};
use jiff::Timestamp;
use llm_contract::{
    Chain, Table,
    push::{self, Documents},
};
use prometheus_client::metrics::counter::Counter;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufReader, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

/// The folder and the file in it, which only we may read.
const FOLDER: &str = "table";
const FILE: &str = "table.journal";
const NEXT_FILE: &str = "table.journal.next";
/// The largest file that is read, in bytes: a table, and changes as large again.
const FILE_BYTES_MAX: u64 = 2 * Table::BYTES_MAX as u64 + 64 * 1024 * 1024;
/// Changes that may wait to be written; beyond, the table is written anew when there is room.
const WRITES_MAX: usize = 64;
/// Changes that are not worth writing a table anew, in bytes.
const CHANGES_BYTES_MIN: usize = 256 * 1024;

/// Where a table is kept.
#[derive(Clone, Debug)]
pub struct Place(PathBuf);

/// What was kept.
pub struct Kept {
    /// Updates that make it.
    pub updates: Vec<Update>,
    /// When it was written last.
    pub written: Timestamp,
}

/// Why what was kept cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// The system does not let us.
    #[error("reading {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No table is that large.
    #[error("{} is larger than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// See the source.
    #[error("{}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Damaged,
    },
    /// Its records are good, and do not fit together.
    #[error("{}", path.display())]
    Update {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: InvalidUpdate,
    },
}

/// Keeps a table.
pub struct Disk {
    jobs: mpsc::Sender<Job>,
    /// Something was not written; only a whole table helps.
    lost: Arc<AtomicBool>,
    whole_bytes: usize,
    changes_bytes: usize,
}

enum Job {
    Whole(Vec<Update>),
    Change(Update),
}

impl Place {
    /// A folder in this folder, made if it is not there.
    ///
    /// # Errors
    /// If the system does not let us.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let folder = folder.join(FOLDER);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(Self(folder))
    }

    fn file(&self) -> PathBuf {
        self.0.join(FILE)
    }

    /// Reads what was kept, if anything. An end that was not written whole is left out.
    ///
    /// # Errors
    /// [`NotKept`]; nothing of it may then be used.
    pub fn read(&self) -> Result<Option<Kept>, NotKept> {
        let path = self.file();
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(NotKept::Open { path, source }),
        };
        if FILE_BYTES_MAX < metadata.len() {
            return Err(NotKept::TooLarge { path });
        }
        let written = metadata.modified().ok().and_then(|it| Timestamp::try_from(it).ok());
        let updates = updates(BufReader::new(file)).map_err(|unusable| match unusable {
            Unusable::Damaged(source) => NotKept::Damaged { path: path.clone(), source },
            Unusable::Update(source) => NotKept::Update { path: path.clone(), source },
        })?;
        let written = written.unwrap_or(Timestamp::UNIX_EPOCH);
        Ok((!updates.is_empty()).then_some(Kept { updates, written }))
    }

    /// Begins to keep a table here, on a thread that `tasks` wait for.
    pub fn keep(self, tasks: &TaskTracker, failures: Counter) -> Disk {
        let (jobs, waiting) = mpsc::channel(WRITES_MAX);
        let lost = Arc::new(AtomicBool::new(false));
        let writer = Writer { place: self, file: None, lost: Arc::clone(&lost), failures };
        tasks.spawn_blocking(move || writer.run(waiting));
        Disk { jobs, lost, whole_bytes: 0, changes_bytes: usize::MAX }
    }
}

/// Why bytes are no table.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// See the source.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// See the source.
    #[error(transparent)]
    Update(#[from] InvalidUpdate),
}

/// Reads updates that follow on one another; the last one only if it is whole.
///
/// # Errors
/// [`Unusable`].
pub fn updates(from: impl io::Read) -> Result<Vec<Update>, Unusable> {
    let mut reader = Reader::new(from)?;
    let (mut parts, mut documents) = (Parts::new(Table::BYTES_MAX), Documents::default());
    let mut updates = Vec::new();
    while let Some(part) = reader.next_message()? {
        let Some(update) = parts.add(part)? else {
            continue;
        };
        let ours = documents.digest();
        match update.from {
            None => documents = Documents::default(),
            Some(from) if from != ours => {
                return Err(InvalidUpdate::OtherTable { from, ours }.into());
            }
            Some(_) => {}
        }
        documents.apply(update.change.clone());
        let (expected, found) = (update.digest, documents.digest());
        if found != expected {
            return Err(InvalidUpdate::OtherDigest { expected, found }.into());
        }
        updates.push(update);
    }
    Ok(updates)
}

/// How updates are written down.
pub fn written(updates: &[Update]) -> Vec<u8> {
    let mut out = journal::header();
    for update in updates {
        for part in records(update.clone()) {
            journal::record(&part, &mut out);
        }
    }
    out
}

impl Disk {
    /// Keeps what an update changed.
    pub fn record(&mut self, received: &Received, update: &Update) {
        let bytes = size(update);
        let changes_bytes = self.changes_bytes.saturating_add(bytes);
        let outgrown = self.whole_bytes.max(CHANGES_BYTES_MIN) < changes_bytes && 0 < bytes;
        let job = if outgrown || self.lost.swap(false, Ordering::AcqRel) {
            (self.whole_bytes, self.changes_bytes) = (received.bytes(), 0);
            Job::Whole(received.replay())
        } else if 0 < bytes {
            self.changes_bytes = changes_bytes;
            Job::Change(update.clone())
        } else {
            return;
        };
        if self.jobs.try_send(job).is_err() {
            self.lost.store(true, Ordering::Release);
        }
    }
}

fn size(update: &Update) -> usize {
    let upserts = update.change.upserts.iter().map(|(name, text)| name.name.len() + text.len());
    upserts.sum::<usize>() + update.change.removals.iter().map(|it| it.name.len()).sum::<usize>()
}

/// Writes on a thread of its own.
struct Writer {
    place: Place,
    /// Where changes are added, once a whole table was written.
    file: Option<File>,
    lost: Arc<AtomicBool>,
    failures: Counter,
}

impl Writer {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            let mut written = self.write(job);
            while written.is_ok()
                && let Ok(job) = jobs.try_recv()
            {
                written = self.write(job);
            }
            let synced = || self.file.as_ref().map_or(Ok(()), File::sync_data);
            if let Err(error) = written.and_then(|()| synced()) {
                self.file = None;
                self.lost.store(true, Ordering::Release);
                self.failures.inc();
                let (folder, error) = (self.place.0.display(), Chain(&error));
                tracing::error!(%folder, %error, "the copy of the table could not be written");
            }
        }
    }

    fn write(&mut self, job: Job) -> io::Result<()> {
        match job {
            Job::Whole(updates) => {
                self.file = None;
                self.file = Some(self.place.replace(updates)?);
            }
            Job::Change(update) => {
                // Without a file a whole table comes next.
                if let Some(file) = &mut self.file {
                    write(file, update)?;
                }
            }
        }
        Ok(())
    }
}

impl Place {
    fn replace(&self, updates: Vec<Update>) -> io::Result<File> {
        let next = self.0.join(NEXT_FILE);
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&next)?;
        file.write_all(&journal::header())?;
        for update in updates {
            write(&mut file, update)?;
        }
        file.sync_all()?;
        fs::rename(&next, self.file())?;
        File::open(&self.0)?.sync_all()?;
        Ok(file)
    }
}

/// One number is as good as another: nobody answers a file.
fn records(update: Update) -> push::UpdateChunks {
    update.change.into_chunks(0, update.from, update.digest)
}

fn write(file: &mut File, update: Update) -> io::Result<()> {
    let mut bytes = Vec::new();
    for part in records(update) {
        bytes.clear();
        journal::record(&part, &mut bytes);
        file.write_all(&bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
