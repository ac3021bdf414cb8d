//! Why a command did not do what it was asked, and the exit code for that.

use crate::{
    KeysError, KubeStoreError,
    cli::{Exit, InvalidWhen},
    connect::ConnectError,
};
use std::io;

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
    pub fn exit(&self) -> Exit {
        match self {
            Self::Expires(_) => Exit::Usage,
            Self::Connect(_) => Exit::Config,
            Self::Store(error) => exit(error),
            Self::System(_) => Exit::Unavailable,
            Self::Json(_) => Exit::Defect,
        }
    }
}

fn exit(error: &KubeStoreError) -> Exit {
    match error {
        KubeStoreError::Keys(KeysError::Full | KeysError::IdTaken(_)) => Exit::Unavailable,
        KubeStoreError::Keys(_) => Exit::Usage,
        KubeStoreError::Refused { source, .. } if source.0.is_invalid() => Exit::Config,
        KubeStoreError::Mint(_)
        | KubeStoreError::NotInstalled
        | KubeStoreError::NoNamespace { .. }
        | KubeStoreError::Unauthorized(_)
        | KubeStoreError::Forbidden { .. }
        | KubeStoreError::Refused { .. }
        | KubeStoreError::Request { .. }
        | KubeStoreError::Contended { .. }
        | KubeStoreError::TooMany { .. }
        | KubeStoreError::LeftOver { .. } => Exit::Unavailable,
    }
}
