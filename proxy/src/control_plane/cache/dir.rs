//! The directory of the cache and its file.

use super::journal::{self, FILE_BYTES_MAX, InvalidJournal};
use crate::control_plane::reassembly::TableUpdate;
use jiff::Timestamp;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufReader, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const FOLDER: &str = "table";
const FILE: &str = "table.journal";
const NEXT_FILE: &str = "table.journal.next";

/// A directory that only this user may read.
#[derive(Clone, Debug)]
pub struct CacheDir(PathBuf);

pub struct CachedTable {
    /// Updates that make the table.
    pub updates: Vec<TableUpdate>,
    pub written: Timestamp,
}

#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
pub struct CacheError {
    path: PathBuf,
    source: InvalidJournal,
}

impl CacheDir {
    /// Opens the cache's directory within `folder`; creates both if missing.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let folder = folder.join(FOLDER);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self) -> PathBuf {
        self.0.join(FILE)
    }

    /// `None` if there is no table; an incomplete update at the end is ignored.
    pub fn read(&self) -> Result<Option<CachedTable>, CacheError> {
        let path = self.file();
        read(&path).map_err(|source| CacheError { path, source })
    }

    /// Replaces the table atomically; returns the file to append changes to.
    pub(super) fn replace(&self, updates: Vec<TableUpdate>) -> io::Result<File> {
        let next = self.0.join(NEXT_FILE);
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&next)?;
        file.write_all(&journal::header())?;
        for update in updates {
            journal::write(&mut file, update)?;
        }
        file.sync_all()?;
        fs::rename(&next, self.file())?;
        File::open(&self.0)?.sync_all()?;
        Ok(file)
    }
}

fn read(path: &Path) -> Result<Option<CachedTable>, InvalidJournal> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    if FILE_BYTES_MAX < metadata.len() {
        return Err(InvalidJournal::FileTooLarge);
    }
    let written = metadata.modified().ok().and_then(|it| Timestamp::try_from(it).ok());
    let updates = journal::decode(BufReader::new(file))?;
    let written = written.unwrap_or(Timestamp::UNIX_EPOCH);
    Ok((!updates.is_empty()).then_some(CachedTable { updates, written }))
}
