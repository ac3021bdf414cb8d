//! The directory of the cache and its file.

use super::journal::{self, InvalidJournal};
use crate::control_plane::reassembly::TableUpdate;
use jiff::Timestamp;
use llm_contract::Table;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufReader, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const FOLDER: &str = "table";
const FILE: &str = "table.journal";
const NEXT_FILE: &str = "table.journal.next";
/// A table, and as much in changes.
const FILE_BYTES_MAX: u64 = 2 * Table::BYTES_MAX as u64 + 64 * 1024 * 1024;

/// A directory that only this user may read.
#[derive(Clone, Debug)]
pub struct CacheDir(PathBuf);

pub struct CachedTable {
    /// Updates that make the table.
    pub updates: Vec<TableUpdate>,
    pub written: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("reading {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is larger than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("{}", path.display())]
    Invalid { path: PathBuf, source: InvalidJournal },
}

impl CacheDir {
    /// Opens the cache's directory within `folder`; creates both if missing.
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

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self) -> PathBuf {
        self.0.join(FILE)
    }

    /// `None` if there is no table; an incomplete update at the end is ignored.
    pub fn read(&self) -> Result<Option<CachedTable>, CacheError> {
        let path = self.file();
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CacheError::Read { path, source }),
        };
        if FILE_BYTES_MAX < metadata.len() {
            return Err(CacheError::TooLarge { path });
        }
        let written = metadata.modified().ok().and_then(|it| Timestamp::try_from(it).ok());
        let updates = journal::decode(BufReader::new(file))
            .map_err(|source| CacheError::Invalid { path, source })?;
        let written = written.unwrap_or(Timestamp::UNIX_EPOCH);
        Ok((!updates.is_empty()).then_some(CachedTable { updates, written }))
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
