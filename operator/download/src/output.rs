//! What people read: notes on standard error, and the reason of a failure.

use std::{
    error::Error,
    fs::OpenOptions,
    io::{self, Write as _},
    path::Path,
};

/// The most that Kubernetes keeps of a termination message, in bytes.
const REASON_BYTES_MAX: usize = 4096;

/// Prints a line on standard error. A closed log is no reason to fail.
pub(crate) fn note(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints an error on standard error, and writes it to the termination log if there is one.
pub fn report(error: &dyn Error, termination_log: &Path) {
    let mut reason = chain(error);
    note(format_args!("{reason}"));
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    let log = OpenOptions::new().write(true).truncate(true).open(termination_log);
    // Outside Kubernetes the file does not exist.
    let _ = log.and_then(|mut log| log.write_all(reason.as_bytes()));
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
