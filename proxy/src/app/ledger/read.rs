//! Reading the ledger.

use super::{FOLDER, LedgerError, numbers, path};
use crate::stage::record::UsageEvent;
use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

/// Damaged lines that are named; a crash leaves one at most.
const NAMED_MAX: usize = 5;

/// Lines that could not be parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DamagedLines {
    pub count: u64,
    /// The first ones.
    pub first: Vec<FileLine>,
}

/// A line of a file, from 1; prints as `path:7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLine {
    pub path: PathBuf,
    pub line: usize,
}

/// Reads all events of a data folder, oldest first; none before the first start. An unfinished line
/// at the very end is still being written, and is left out.
pub fn read(
    data_dir: &Path,
    mut each: impl FnMut(UsageEvent),
) -> Result<DamagedLines, LedgerError> {
    let folder = data_dir.join(FOLDER);
    let numbers = match numbers(&folder) {
        Ok(numbers) => numbers,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DamagedLines::default()),
        Err(source) => return Err(LedgerError::Folder { folder, source }),
    };
    let mut damaged = DamagedLines::default();
    for number in &numbers {
        let path = path(&folder, *number);
        let is_last = Some(number) == numbers.last();
        read_file(&path, is_last, &mut each, &mut damaged)
            .map_err(|source| LedgerError::File { path: path.clone(), source })?;
    }
    Ok(damaged)
}

fn read_file(
    path: &Path,
    is_last: bool,
    each: &mut impl FnMut(UsageEvent),
    damaged: &mut DamagedLines,
) -> io::Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let is_over = file.read_until(b'\n', &mut text)? == 0;
        if is_over || (is_last && !text.ends_with(b"\n")) {
            break;
        }
        match serde_json::from_slice(&text) {
            Ok(event) => each(event),
            Err(_damage) => damaged.add(path, line),
        }
    }
    Ok(())
}

impl DamagedLines {
    fn add(&mut self, path: &Path, line: usize) {
        self.count += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(FileLine { path: path.to_owned(), line });
        }
    }
}

impl fmt::Display for FileLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}
