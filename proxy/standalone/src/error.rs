//! Errors of `llm-gateway`, with their exit codes.

use crate::{
    config::{ConfigError, ConfigErrors},
    model_server::ListModelsError,
};
use llm_cli::{InvalidTimeSpec, ProgramError, print_error};
use llm_contract::{Chain, InvalidTable};
use llm_keys::StoreError;
use llm_proxy::{
    app::{explain::ExplainError, ledger::LedgerError, servers::BindError},
    auth::oidc::InvalidIssuer,
    tls::InvalidCertificate,
};
use std::{
    io::{self, Write as _},
    path::PathBuf,
};
use sysexits::ExitCode;

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error(
        "there is no {}; choose a configuration with --config, or a model server with --upstream",
        file.display()
    )]
    NoConfig { file: PathBuf },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("`--expires`")]
    Expires(#[source] InvalidTimeSpec),
    #[error("`--since`")]
    Since(#[source] InvalidTimeSpec),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(
        "cannot use the data folder {}; fix it, or choose another with --data-dir",
        folder.display()
    )]
    DataDir { folder: PathBuf, source: io::Error },
    /// More likely the wrong folder than an empty one.
    #[error(
        "there is no data folder {}; choose the gateway's with --data-dir or --config",
        folder.display()
    )]
    NoDataDir { folder: PathBuf },
    /// Two gateways in one folder would overwrite each other's ledger.
    #[error(
        "the data folder {} is in use by a running gateway ({holder}); stop it, or choose \
         another folder with --data-dir", folder.display()
    )]
    DataDirInUse { folder: PathBuf, holder: String },
    #[error("cannot read {}", path.display())]
    ReadFile { path: PathBuf, source: io::Error },
    #[error("invalid certificate")]
    Certificate(#[from] InvalidCertificate),
    #[error("invalid configuration")]
    Table(#[from] InvalidTable),
    #[error("invalid issuer")]
    Issuer(#[from] InvalidIssuer),
    // What is wrong continues the sentence that the URL begins.
    #[error("{url}/v1/models {}", Chain(error))]
    ListModels { url: String, error: ListModelsError },
    #[error("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Arguments { errors: Vec<ConfigError> },
    #[error(transparent)]
    Explain(#[from] ExplainError),
    #[error("I/O error")]
    Io(#[from] io::Error),
}

impl From<LedgerError> for CliError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Folder { folder, source } => Self::DataDir { folder, source },
            LedgerError::File { path, source } => Self::ReadFile { path, source },
        }
    }
}

impl ProgramError for CliError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_)
            | Self::NoConfig { .. }
            | Self::Table(_)
            | Self::Issuer(_)
            | Self::Certificate(_)
            | Self::Store(StoreError::Damaged { .. }) => ExitCode::DataErr,
            Self::Expires(_)
            | Self::Since(_)
            | Self::Arguments { .. }
            | Self::Explain(ExplainError::Key(_)) => ExitCode::Usage,
            Self::Store(StoreError::Keys(error)) if !error.is_unavailable() => ExitCode::Usage,
            Self::Store(StoreError::Json(_)) => ExitCode::Software,
            Self::Store(_)
            | Self::Bind(_)
            | Self::DataDir { .. }
            | Self::NoDataDir { .. }
            | Self::DataDirInUse { .. }
            | Self::ReadFile { .. }
            | Self::ListModels { .. }
            | Self::Explain(_)
            | Self::Io(_) => ExitCode::Unavailable,
        }
    }

    /// Errors in a configuration stand alone, each on a line that begins with file and line, so
    /// that editors find the place.
    fn print(&self, program: &str) {
        let Self::Config(errors) = self else {
            return print_error(program, self);
        };
        // Standard error may be closed; there is no other place to report that.
        let _ = writeln!(io::stderr(), "{errors}");
    }
}
