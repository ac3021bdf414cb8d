//! A file that one process at a time holds, and that names its holder.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// The outcome of [`try_lock`]. Dropping the file releases the lock.
pub enum LockAttempt {
    Acquired(File),
    /// By `process 4711`, or by `another process` if the file does not tell.
    HeldBy(String),
}

/// Locks a file, which is created if it does not exist.
pub fn try_lock(path: &Path) -> io::Result<LockAttempt> {
    // Not truncated here: until we have the lock, it names its holder.
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).mode(0o600);
    let mut file = options.open(path)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)?;
            write!(file, "{}", std::process::id())?;
            Ok(LockAttempt::Acquired(file))
        }
        Err(TryLockError::WouldBlock) => Ok(LockAttempt::HeldBy(holder(path))),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn holder(path: &Path) -> String {
    let id = fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
    id.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"))
}
