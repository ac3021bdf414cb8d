//! The token: one file, whose name says who holds the lock.

use super::list;
use crate::{Failure, name::OURS, part::is_gone, volume};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

const FREE: &str = "free";
const HELD: &str = "held-";
/// How often the folder is made again, when others make and remove it at the same time.
const ESTABLISH_TRIES_MAX: usize = 10;

/// Who holds the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Free,
    Held(String),
}

impl Token {
    fn file_name(&self) -> String {
        match self {
            Self::Free => FREE.to_owned(),
            Self::Held(id) => format!("{HELD}{id}"),
        }
    }
}

/// The token as it is now, unless it is just being renamed.
pub(super) fn read(home: &Path) -> Result<Option<Token>, Failure> {
    let token = |path: &PathBuf| match path.file_name()?.to_str()? {
        FREE => Some(Token::Free),
        name => name.strip_prefix(HELD).map(|id| Token::Held(id.to_owned())),
    };
    Ok(list(home)?.iter().find_map(token))
}

/// Changes the token from what it is believed to be. False if it is not that.
pub(super) fn exchange(home: &Path, from: &Token, to: &Token) -> Result<bool, Failure> {
    match fs::rename(home.join(from.file_name()), home.join(to.file_name())) {
        Ok(()) => Ok(true),
        Err(error) if is_gone(&error) => Ok(false),
        Err(error) => Err(Failure::volume("locking", home)(error)),
    }
}

/// Makes our folder on the volume, with its token, if it is not there. Of all who try one
/// succeeds, because a folder cannot be renamed onto one that has something in it.
pub(super) fn establish(root: &Path) -> Result<PathBuf, Failure> {
    let home = root.join(OURS);
    fs::create_dir_all(root).map_err(Failure::volume("making", root))?;
    for _ in 0..ESTABLISH_TRIES_MAX {
        if home.is_dir() {
            break;
        }
        let new = root.join(format!("{OURS}-{}", volume::random_name()?));
        let made = fs::create_dir(&new)
            .and_then(|()| File::create(new.join(FREE)))
            .and_then(|_| fs::rename(&new, &home));
        if let Err(error) = made {
            let _ = fs::remove_dir_all(&new);
            // Otherwise someone was faster, or has swept away what we made.
            if !home.is_dir() && !is_gone(&error) {
                return Err(Failure::volume("making", home)(error));
            }
        }
    }
    Ok(home)
}

/// Removes what those left who died while they made our folder.
pub(super) fn sweep(home: &Path) -> Result<(), Failure> {
    let Some(root) = home.parent() else { return Ok(()) };
    for path in list(root)? {
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(&format!("{OURS}-"))) {
            let _ = fs::remove_dir_all(path);
        }
    }
    Ok(())
}
