//! The sign of life of a holder: a counter in a file in its own folder.

use crate::{
    Failure, clock,
    part::is_gone,
    stop::{Cause, Stop},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::JoinHandle,
    time::Duration,
};

/// The file's name.
pub(super) const FILE: &str = "beat";
/// How long the file is, in bytes: always, so that one write replaces all of it. Who dies between
/// emptying and writing it would be taken for alive until the silence has been too long.
const FILE_BYTES: usize = 256;

/// What the file says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Beat {
    count: u64,
    /// Whether the holder has given the lock back, and writes no more.
    pub(super) released: bool,
    /// Where the holder has `flock`, if it has.
    kernel: Option<Kernel>,
}

/// One run of one kernel, and one mount there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kernel {
    boot: String,
    device: u64,
}

/// The thread that writes the beat: nothing else that takes long may delay it.
#[derive(Debug)]
pub(super) struct Heart {
    stop: Sender<()>,
    thread: JoinHandle<Beat>,
    last: Beat,
}

impl Kernel {
    /// Where a file is open.
    pub(super) fn of(file: &File) -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(Self { boot: boot.trim().to_owned(), device: file.metadata().ok()?.dev() })
    }
}

impl Beat {
    pub(super) fn first(kernel: Option<Kernel>) -> Self {
        Self { count: 0, released: false, kernel }
    }

    pub(super) fn parse(text: Option<&[u8]>) -> Option<Self> {
        serde_json::from_slice(text?).ok()
    }

    /// Whether the holder cannot be alive, given where `flock` is ours.
    pub(super) fn is_of_dead(&self, here: Option<&Kernel>) -> bool {
        self.released || (here.is_some() && self.kernel.as_ref() == here)
    }
}

/// The beat as it is now.
pub(super) fn read(work: &Path) -> Option<Vec<u8>> {
    fs::read(work.join(FILE)).ok()
}

/// Writes the beat; makes the file only the first time, so that a folder that was taken from us
/// stays gone.
pub(super) fn write(work: &Path, beat: &Beat, first: bool) -> io::Result<()> {
    let text = format!("{:<FILE_BYTES$}", serde_json::to_string(beat)?);
    let mut options = OpenOptions::new();
    options.write(true).create_new(first).open(work.join(FILE))?.write_all(text.as_bytes())
}

impl Heart {
    /// Writes a beat every so often. When the folder is gone, or nothing could be written for
    /// too long, the lock is lost.
    pub(super) fn start(
        work: PathBuf,
        beat: Beat,
        every: Duration,
        too_long: Duration,
        stop: Stop,
    ) -> Result<Self, Failure> {
        let last = beat.clone();
        let (sender, receiver) = mpsc::channel();
        let run = move || {
            let (mut beat, mut written) = (beat, clock::now());
            while receiver.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                beat.count += 1;
                match write(&work, &beat, false) {
                    Ok(()) => written = clock::now(),
                    Err(error) if is_gone(&error) => stop.because(Cause::LostLock),
                    Err(_) if clock::now().duration_since(written) >= too_long => {
                        stop.because(Cause::LostLock);
                    }
                    Err(_) => {}
                }
            }
            beat
        };
        let thread = std::thread::Builder::new().name("beat".to_owned()).spawn(run);
        Ok(Self { stop: sender, thread: thread.map_err(Failure::Start)?, last })
    }

    /// Ends; the last beat that was written.
    pub(super) fn stop(self) -> Beat {
        let Self { stop, thread, last } = self;
        drop(stop);
        thread.join().unwrap_or(last)
    }
}
