//! Noticing that files changed.
//!
//! Files are polled four times a second, not watched by the kernel: it is cheap for a handful of
//! files, and sees every way of replacing one (renames, symbolic links that move as Kubernetes does
//! it, network file systems).

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

pub const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Files and what identified their contents at the last poll. Read a file after polling it: then a
/// change in between is noticed by the next poll.
#[derive(Default)]
pub struct FileWatcher {
    files: Vec<(PathBuf, FileState)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileState {
    NotPolled,
    Missing,
    Present { device: u64, inode: u64, bytes: u64, modified: (i64, i64) },
}

impl FileWatcher {
    /// Watches these files and no others. One that was not watched before counts as changed.
    pub fn watch(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        let before = std::mem::take(&mut self.files);
        self.files.extend(files.into_iter().map(|path| {
            let known = before.iter().find(|(it, _)| *it == path);
            (path, known.map_or(FileState::NotPolled, |(_, state)| *state))
        }));
    }

    /// Polls the files; true if any has changed since the last poll.
    pub fn poll(&mut self) -> bool {
        let mut changed = false;
        for (path, state) in &mut self.files {
            let now = FileState::of(path);
            changed |= *state != now;
            *state = now;
        }
        changed
    }
}

impl FileState {
    fn of(path: &Path) -> Self {
        fs::metadata(path).map_or(Self::Missing, |it| Self::Present {
            device: it.dev(),
            inode: it.ino(),
            bytes: it.size(),
            modified: (it.mtime(), it.mtime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(files: &[&Path]) -> FileWatcher {
        let mut watcher = FileWatcher::default();
        watcher.watch(files.iter().map(|path| path.to_path_buf()));
        watcher
    }

    #[test]
    fn a_file_that_is_created_replaced_or_deleted_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("a"), folder.path().join("b"));
        let mut watcher = watched(&[&file]);
        assert!(watcher.poll(), "it was never polled");
        assert!(!watcher.poll());
        fs::write(&file, "one").unwrap();
        assert!(watcher.poll());
        assert!(!watcher.poll());
        fs::write(&other, "two").unwrap();
        fs::rename(&other, &file).unwrap();
        assert!(watcher.poll());
        fs::remove_file(&file).unwrap();
        assert!(watcher.poll());
    }

    #[test]
    fn a_newly_watched_file_counts_as_changed_and_the_others_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("a"), folder.path().join("b"));
        let mut watcher = watched(&[&file]);
        watcher.poll();
        watcher.watch([file.clone()]);
        assert!(!watcher.poll());
        fs::write(&file, "one").unwrap();
        watcher.watch([file.clone()]);
        assert!(watcher.poll(), "a change before the next poll is not lost");
        watcher.watch([file, other]);
        assert!(watcher.poll());
        assert!(!watcher.poll());
    }
}
