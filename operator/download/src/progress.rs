//! The progress line in the container's log.

use serde::{Deserialize, Serialize};
use std::fmt;

const PREFIX: &str = "progress ";

/// The progress of a download.
///
/// ```
/// use llm_download::{Progress, State};
///
/// let line = r#"progress {"state":"downloading","bytes":123,"total":456,"files":3,"of":12}"#;
/// let progress = Progress::from_line(line).unwrap();
/// assert_eq!((progress.state, progress.bytes), (State::Downloading, 123));
/// assert_eq!(progress.to_string(), line);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub state: State,
    /// Bytes on the volume.
    pub bytes: u64,
    /// Bytes of all files; 0 until the hub has answered.
    pub total: u64,
    /// Files that are complete and verified.
    pub files: u64,
    /// Files in all; 0 until the hub has answered.
    pub of: u64,
}

/// The state of a download.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    #[default]
    Starting,
    /// Another process is writing to the volume.
    Waiting,
    /// Files already on the volume are being verified.
    Verifying,
    Downloading,
    Done,
}

impl Progress {
    /// Parses a line of the log, if it is a progress line.
    pub fn from_line(line: &str) -> Option<Self> {
        serde_json::from_str(line.trim_end().strip_prefix(PREFIX)?).ok()
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", serde_json::to_string(self).map_err(|_never| fmt::Error)?)
    }
}
