//! The heartbeat of a holder: a counter in a file in its folder.

use crate::fs::is_gone;
use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::Builder,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

pub(super) const FILE: &str = "heartbeat";

/// How long the heartbeats of others have been unchanged.
#[derive(Debug, Default)]
pub(super) struct Staleness(HashMap<PathBuf, (Option<Vec<u8>>, Instant)>);

/// Writes the heartbeat until the returned sender is dropped, on a thread of its own so that
/// nothing delays it. Cancels `work` when the folder is gone.
pub(super) fn start(
    folder: PathBuf,
    every: Duration,
    work: CancellationToken,
) -> io::Result<Sender<()>> {
    let (holder, released) = mpsc::channel();
    let run = move || {
        let mut count = 0;
        while released.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            count += 1;
            if write(&folder, count).is_err_and(|error| is_gone(&error)) {
                work.cancel();
            }
        }
    };
    Builder::new().name("heartbeat".to_owned()).spawn(run)?;
    Ok(holder)
}

/// Writes the first heartbeat.
pub(super) fn create(folder: &Path) -> io::Result<()> {
    File::create_new(folder.join(FILE))?;
    write(folder, 0)
}

/// Writes a heartbeat, if the file still exists. All have one length, so that one write replaces
/// another. (Network file systems cache file times for longer than contents.)
pub(super) fn write(folder: &Path, count: u64) -> io::Result<()> {
    let text = format!("{count:016x}");
    File::options().write(true).open(folder.join(FILE))?.write_all(text.as_bytes())
}

/// The present heartbeat. A new folder has none for a moment.
pub(super) fn read(folder: &Path) -> Option<Vec<u8>> {
    fs::read(folder.join(FILE)).ok()
}

impl Staleness {
    /// Records a heartbeat, and returns how long it has been the same.
    pub(super) fn record(
        &mut self,
        folder: &Path,
        heartbeat: Option<Vec<u8>>,
        now: Instant,
    ) -> Duration {
        match self.0.get(folder) {
            Some((last, since)) if *last == heartbeat => now.duration_since(*since),
            _ => {
                self.0.insert(folder.to_owned(), (heartbeat, now));
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_heartbeat_of_the_same_holder_is_stale() {
        let (mut staleness, start) = (Staleness::default(), crate::clock::now());
        let mut record = |folder, heartbeat: Option<&[u8]>, seconds| {
            let now = start + Duration::from_secs(seconds);
            staleness.record(Path::new(folder), heartbeat.map(<[u8]>::to_vec), now).as_secs()
        };
        assert_eq!(record("a", Some(b"1"), 0), 0);
        assert_eq!(record("a", Some(b"1"), 9), 9);
        assert_eq!(record("a", Some(b"2"), 10), 0);
        assert_eq!(record("a", Some(b"2"), 15), 5);
        assert_eq!(record("b", Some(b"2"), 16), 0);
        assert_eq!(record("b", None, 17), 0);
        assert_eq!(record("b", None, 20), 3);
    }
}
