//! Says why there are no weights, to whoever reads the log and to Kubernetes.

use crate::{Failure, tally};
use std::{error::Error, fs::OpenOptions, io::Write as _, path::Path};

/// What Kubernetes keeps of a reason, in bytes.
const REASON_BYTES_MAX: usize = 4096;

/// Says why there are no weights on standard error, and in the file where Kubernetes looks for
/// it, if that is there.
pub fn report(failure: &Failure, termination_log: &Path) {
    let mut reason = chain(failure);
    tally::note(format_args!("{reason}"));
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    let log = OpenOptions::new().write(true).truncate(true).open(termination_log);
    // Outside of Kubernetes it is not there.
    let _ = log.and_then(|mut log| log.write_all(reason.as_bytes()));
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
