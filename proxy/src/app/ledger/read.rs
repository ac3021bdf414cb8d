//! Reading what was written down.

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

/// Lines that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damaged {
    /// How many.
    pub lines: u64,
    /// Where the first ones are.
    pub first: Vec<Place>,
}

/// A line of a file; prints as `path:7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

/// Reads all events of a data folder, the oldest first. Nothing is there before the first start.
/// A line at the very end that has not ended is being written, and is left out.
///
/// # Errors
/// If a file cannot be read.
pub fn read(data_dir: &Path, mut each: impl FnMut(UsageEvent)) -> Result<Damaged, LedgerError> {
    let folder = data_dir.join(FOLDER);
    let numbers = match numbers(&folder) {
        Ok(numbers) => numbers,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Damaged::default()),
        Err(source) => return Err(LedgerError::Folder { folder, source }),
    };
    let mut damaged = Damaged::default();
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
    damaged: &mut Damaged,
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

impl Damaged {
    fn add(&mut self, path: &Path, line: usize) {
        self.lines += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(Place { path: path.to_owned(), line });
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}
