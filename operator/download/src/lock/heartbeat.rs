//! The heartbeat of a holder: a counter in a file in its folder.

use crate::{
    fs::is_gone,
    shutdown::{Shutdown, ShutdownError},
};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{Builder, JoinHandle},
    time::Duration,
};

pub(super) const FILE: &str = "heartbeat";

/// Writes the heartbeat, on a thread of its own so that nothing delays it.
#[derive(Debug)]
pub(super) struct Heartbeat {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Heartbeat {
    /// Starts to write; when the folder is gone, the lock is lost.
    pub(super) fn start(folder: PathBuf, every: Duration, shutdown: Shutdown) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let run = move || {
            let mut count = 0;
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                count += 1;
                if write(&folder, count).is_err_and(|error| is_gone(&error)) {
                    shutdown.trigger(ShutdownError::LostLock);
                }
            }
        };
        let thread = Builder::new().name("heartbeat".to_owned()).spawn(run)?;
        Ok(Self { stop, thread })
    }

    pub(super) fn stop(self) {
        let Self { stop, thread } = self;
        drop(stop);
        let _ = thread.join();
    }
}

/// The first heartbeat.
pub(super) fn create(folder: &Path) -> io::Result<()> {
    File::create_new(folder.join(FILE))?.write_all(text(0).as_bytes())
}

/// Writes a heartbeat, if the file still exists. All are of one length, so that the file is never
/// empty in between. (File times would not do: network file systems cache them for longer.)
pub(super) fn write(folder: &Path, count: u64) -> io::Result<()> {
    File::options().write(true).open(folder.join(FILE))?.write_all(text(count).as_bytes())
}

/// The present heartbeat. A folder has none for a moment after it was made.
pub(super) fn read(folder: &Path) -> Option<Vec<u8>> {
    fs::read(folder.join(FILE)).ok()
}

fn text(count: u64) -> String {
    format!("{count:016x}")
}
