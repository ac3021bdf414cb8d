//! The line that says how far a download is, for whoever reads the container's log.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What a line of progress begins with.
const WORD: &str = "progress ";

/// How far a download is.
///
/// ```
/// use llm_download::{Progress, State};
///
/// let line = r#"progress {"state":"downloading","bytes":123,"total":456,"files":3,"of":12}"#;
/// let progress: Progress = line.parse().unwrap();
/// assert_eq!((progress.state, progress.bytes), (State::Downloading, 123));
/// assert_eq!(progress.to_string(), line);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done.
    pub state: State,
    /// How many bytes are on the volume.
    pub bytes: u64,
    /// How many bytes the weights have; 0 until the hub was asked.
    pub total: u64,
    /// How many files are whole and verified.
    pub files: u64,
    /// How many files the weights have; 0 until the hub was asked.
    pub of: u64,
}

/// What a download is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Finding out what is wanted.
    #[default]
    Starting,
    /// Another process writes to the volume.
    Waiting,
    /// Reading what is on the volume already.
    Verifying,
    /// Bytes are on their way.
    Downloading,
    /// The weights are complete.
    Done,
}

/// Why a line says nothing about progress.
#[derive(Debug, thiserror::Error)]
pub enum InvalidProgress {
    /// It is another line of the log.
    #[error("the line does not begin with `progress `")]
    OtherLine,
    /// It is not what we write.
    #[error("parsing a line of progress")]
    Json(#[source] serde_json::Error),
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WORD}{}", serde_json::to_string(self).map_err(|_never| fmt::Error)?)
    }
}

impl FromStr for Progress {
    type Err = InvalidProgress;

    fn from_str(line: &str) -> Result<Self, InvalidProgress> {
        let json = line.trim_end().strip_prefix(WORD).ok_or(InvalidProgress::OtherLine)?;
        serde_json::from_str(json).map_err(InvalidProgress::Json)
    }
}
