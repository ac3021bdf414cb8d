//! Why a command did not do what it was asked, and the exit code for that.

use crate::{KeysError, KubeStoreError, cli::InvalidWhen, connect::ConnectError};
use std::io;
use sysexits::ExitCode;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// See the source.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// See the source.
    #[error(transparent)]
    Store(#[from] KubeStoreError),
    /// See the source.
    #[error("`--expires`")]
    Expires(#[source] InvalidWhen),
    /// Standard output is closed, and the like.
    #[error("the operating system refused")]
    System(#[from] io::Error),
    /// A defect.
    #[error("writing the answer as JSON")]
    Json(#[source] serde_json::Error),
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        // Where it was to go is closed or full.
        if error.is_io() { Self::System(error.into()) } else { Self::Json(error) }
    }
}

impl Failure {
    /// What to exit with.
    pub fn exit(&self) -> ExitCode {
        match self {
            Self::Expires(_) => ExitCode::Usage,
            Self::Connect(_) => ExitCode::DataErr,
            Self::Store(error) => exit(error),
            Self::System(_) => ExitCode::Unavailable,
            Self::Json(_) => ExitCode::Software,
        }
    }
}

fn exit(error: &KubeStoreError) -> ExitCode {
    match error {
        KubeStoreError::Keys(KeysError::Full | KeysError::IdTaken(_)) => ExitCode::Unavailable,
        KubeStoreError::Keys(_) => ExitCode::Usage,
        KubeStoreError::Refused { source, .. } if source.0.is_invalid() => ExitCode::DataErr,
        KubeStoreError::Mint(_)
        | KubeStoreError::NotInstalled
        | KubeStoreError::NoNamespace { .. }
        | KubeStoreError::Unauthorized(_)
        | KubeStoreError::Forbidden { .. }
        | KubeStoreError::Refused { .. }
        | KubeStoreError::Request { .. }
        | KubeStoreError::Contended { .. }
        | KubeStoreError::TooMany { .. }
        | KubeStoreError::LeftOver { .. }
        | KubeStoreError::Unclear { .. } => ExitCode::Unavailable,
    }
}
