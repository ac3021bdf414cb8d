//! Errors of `llm-proxy`, with their exit codes.

use super::{
    admin_client::AdminError, explain::ExplainError, ledger::LedgerError, servers::BindError,
};
use crate::tls::InvalidCertificate;
use llm_cli::ProgramError;
use std::{io, path::PathBuf};
use sysexits::ExitCode;

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot read {}", path.display())]
    ReadFile { path: PathBuf, source: io::Error },
    #[error("invalid certificate in --tls-cert and --tls-key")]
    Certificate(#[from] InvalidCertificate),
    #[error("{} holds no pepper", path.display())]
    EmptyPepper { path: PathBuf },
    /// The operator's certificate could not be verified.
    #[error("the host in --control cannot be in a certificate; set --control-server-name")]
    ServerName,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("cannot use the folder {}; fix it, or choose another with --state", folder.display())]
    StateFolder { folder: PathBuf, source: io::Error },
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Explain(#[from] ExplainError),
    #[error("I/O error")]
    Io(#[from] io::Error),
}

impl ProgramError for CliError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Certificate(_) | Self::EmptyPepper { .. } => ExitCode::DataErr,
            Self::ServerName | Self::Explain(ExplainError::Key(_)) => ExitCode::Usage,
            Self::Bind(_)
            | Self::ReadFile { .. }
            | Self::Ledger(_)
            | Self::StateFolder { .. }
            | Self::Admin(_)
            | Self::Explain(ExplainError::Admin(_) | ExplainError::Io(_))
            | Self::Io(_) => ExitCode::Unavailable,
        }
    }
}
