//! Noticing that files changed.
//!
//! Files are looked at four times a second, not watched by the kernel: it is cheap for a handful
//! of files, and sees every way of replacing one (renames, symbolic links that move as Kubernetes
//! does it, network file systems).

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// How often files are looked at.
pub const INTERVAL: Duration = Duration::from_millis(250);

/// Files, and what they looked like. A file is to be read after it was looked at: then a change
/// in between is seen the next time.
#[derive(Default)]
pub struct Watched {
    files: Vec<(PathBuf, Seen)>,
}

/// How a file was when it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// It has not been looked at yet.
    Never,
    /// It was not there.
    Missing,
    As(Look),
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Watched {
    /// Watches these files and no others. One that was not watched before counts as changed.
    pub fn follow(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        let before = std::mem::take(&mut self.files);
        let known = |path: &PathBuf| before.iter().find(|(it, _)| it == path);
        let files = files.into_iter().map(|path| {
            let seen = known(&path).map_or(Seen::Never, |(_, seen)| *seen);
            (path, seen)
        });
        self.files = files.collect();
    }

    /// Whether any has changed since it was last asked.
    pub fn changed(&mut self) -> bool {
        let mut changed = false;
        for (path, before) in &mut self.files {
            let now = look(path);
            changed |= *before != now;
            *before = now;
        }
        changed
    }
}

fn look(path: &Path) -> Seen {
    let Ok(found) = fs::metadata(path) else {
        return Seen::Missing;
    };
    Seen::As(Look {
        device: found.dev(),
        inode: found.ino(),
        bytes: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(files: &[&Path]) -> Watched {
        let mut watched = Watched::default();
        watched.follow(files.iter().map(|path| path.to_path_buf()));
        watched
    }

    #[test]
    fn a_file_that_comes_is_replaced_or_goes_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("a"), folder.path().join("b"));
        let mut watched = watched(&[&file]);
        assert!(watched.changed(), "it was never looked at");
        assert!(!watched.changed());
        fs::write(&file, "one").unwrap();
        assert!(watched.changed());
        assert!(!watched.changed());
        fs::write(&other, "two").unwrap();
        fs::rename(&other, &file).unwrap();
        assert!(watched.changed());
        fs::remove_file(&file).unwrap();
        assert!(watched.changed());
    }

    #[test]
    fn a_file_that_is_watched_anew_counts_as_changed_and_the_others_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("a"), folder.path().join("b"));
        let mut watched = watched(&[&file]);
        watched.changed();
        watched.follow([file.clone()]);
        assert!(!watched.changed());
        fs::write(&file, "one").unwrap();
        watched.follow([file.clone()]);
        assert!(watched.changed(), "a change before it was asked is not lost");
        watched.follow([file, other]);
        assert!(watched.changed());
        assert!(!watched.changed());
    }
}
