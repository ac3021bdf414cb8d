//! Writes the cache on a thread of its own.
//!
//! The file holds a snapshot of the table, then each change. When the changes have outgrown the
//! table, the file is replaced atomically by a new snapshot: so there is a complete table at any
//! time, and a change costs what it changes.

use super::{CacheDir, journal};
use crate::control_plane::{reassembly::TableUpdate, replica::TableReplica};
use llm_contract::Chain;
use prometheus_client::metrics::counter::Counter;
use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

/// Writes that wait; beyond, a snapshot is written when there is room.
const WRITES_MAX: usize = 64;
/// Fewer bytes of changes are never replaced by a snapshot.
pub(super) const CHANGES_BYTES_MIN: usize = 256 * 1024;

pub struct TableCache {
    writes: mpsc::Sender<WriteJob>,
    /// Whether a write was lost, so that a snapshot is needed.
    needs_snapshot: Arc<AtomicBool>,
    snapshot_bytes: usize,
    changes_bytes: usize,
}

enum WriteJob {
    Snapshot(Vec<TableUpdate>),
    Change(TableUpdate),
}

struct Writer {
    dir: CacheDir,
    /// `None` until a snapshot was written.
    file: Option<File>,
    needs_snapshot: Arc<AtomicBool>,
    failures: Counter,
}

impl TableCache {
    /// Starts the writer's thread, which `tasks` wait for.
    pub fn start(dir: CacheDir, tasks: &TaskTracker, failures: Counter) -> Self {
        let (writes, queue) = mpsc::channel(WRITES_MAX);
        let needs_snapshot = Arc::new(AtomicBool::new(false));
        let writer =
            Writer { dir, file: None, needs_snapshot: Arc::clone(&needs_snapshot), failures };
        tasks.spawn_blocking(move || writer.run(queue));
        Self { writes, needs_snapshot, snapshot_bytes: 0, changes_bytes: usize::MAX }
    }

    /// Queues an update that was applied to the replica.
    pub fn record(&mut self, replica: &TableReplica, update: &TableUpdate) {
        let bytes = size(update);
        let changes_bytes = self.changes_bytes.saturating_add(bytes);
        let is_outgrown = self.snapshot_bytes.max(CHANGES_BYTES_MIN) < changes_bytes && 0 < bytes;
        let write = if is_outgrown || self.needs_snapshot.swap(false, Ordering::AcqRel) {
            (self.snapshot_bytes, self.changes_bytes) = (replica.documents().bytes(), 0);
            WriteJob::Snapshot(replica.replay())
        } else if 0 < bytes {
            self.changes_bytes = changes_bytes;
            WriteJob::Change(update.clone())
        } else {
            return;
        };
        if self.writes.try_send(write).is_err() {
            self.needs_snapshot.store(true, Ordering::Release);
        }
    }
}

fn size(update: &TableUpdate) -> usize {
    let upserts = update.change.upserts.iter().map(|(name, text)| name.name.len() + text.len());
    upserts.sum::<usize>() + update.change.removals.iter().map(|it| it.name.len()).sum::<usize>()
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<WriteJob>) {
        while let Some(write) = queue.blocking_recv() {
            let mut written = self.write(write);
            while written.is_ok()
                && let Ok(write) = queue.try_recv()
            {
                written = self.write(write);
            }
            let sync = || self.file.as_ref().map_or(Ok(()), File::sync_data);
            if let Err(error) = written.and_then(|()| sync()) {
                self.file = None;
                self.needs_snapshot.store(true, Ordering::Release);
                self.failures.inc();
                let (folder, error) = (self.dir.path().display(), Chain(&error));
                tracing::error!(%folder, %error, "caching the table failed");
            }
        }
    }

    fn write(&mut self, write: WriteJob) -> io::Result<()> {
        match (write, &mut self.file) {
            (WriteJob::Snapshot(updates), _) => {
                self.file = None;
                self.file = Some(self.dir.replace(updates)?);
            }
            (WriteJob::Change(update), Some(file)) => journal::write(file, update)?,
            // A snapshot follows.
            (WriteJob::Change(_), None) => {}
        }
        Ok(())
    }
}
