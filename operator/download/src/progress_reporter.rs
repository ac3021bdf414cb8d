//! Counts bytes and files, and prints the progress line.

use crate::{
    manifest::Manifest,
    progress::{Progress, State},
};
use std::{
    convert::Infallible,
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

const CHANGED_INTERVAL: Duration = Duration::from_secs(1);
const UNCHANGED_INTERVAL: Duration = Duration::from_secs(5);

/// The progress so far. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProgressReporter(Arc<watch::Sender<Progress>>);

impl ProgressReporter {
    pub(crate) fn update(&self, change: impl FnOnce(&mut Progress)) {
        self.0.send_modify(change);
    }

    /// Sets the totals, and counts from zero.
    pub(crate) fn begin(&self, manifest: &Manifest, state: State) {
        let (total, of) = (manifest.bytes(), manifest.file_count());
        self.0.send_replace(Progress { state, bytes: 0, total, files: 0, of });
    }

    pub(crate) fn finish(&self, manifest: &Manifest) {
        self.begin(manifest, State::Done);
        self.update(|progress| (progress.bytes, progress.files) = (progress.total, progress.of));
    }

    /// Prints the line now. A closed log is no reason to fail.
    pub(crate) fn print(&self) {
        let progress = *self.0.borrow();
        let _ = writeln!(io::stdout(), "{progress}");
    }

    /// Prints the line when it has changed, and every few seconds when it has not.
    pub(crate) async fn print_periodically(&self) -> Infallible {
        let mut changes = self.0.subscribe();
        loop {
            self.print();
            tokio::time::sleep(CHANGED_INTERVAL).await;
            let unchanged = UNCHANGED_INTERVAL - CHANGED_INTERVAL;
            let _ = tokio::time::timeout(unchanged, changes.changed()).await;
        }
    }
}
