//! Errors of `llm-keys`, with their exit codes.

use crate::{KubeStoreError, connect::ConnectError};
use llm_cli::{InvalidTimeSpec, ProgramError};
use std::io;
use sysexits::ExitCode;

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Store(#[from] KubeStoreError),
    #[error("`--expires`")]
    Expires(#[source] InvalidTimeSpec),
    #[error("I/O error")]
    Io(#[from] io::Error),
}

impl ProgramError for CliError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Expires(_) => ExitCode::Usage,
            Self::Connect(_) => ExitCode::DataErr,
            Self::Store(KubeStoreError::Keys(error)) if !error.is_unavailable() => ExitCode::Usage,
            Self::Store(KubeStoreError::Refused { source, .. }) if source.0.is_invalid() => {
                ExitCode::DataErr
            }
            Self::Store(_) | Self::Io(_) => ExitCode::Unavailable,
        }
    }
}
