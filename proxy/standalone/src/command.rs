//! What the commands do that do not start a gateway. Output, clock and randomness are arguments.

pub mod check;
pub mod config_schema;
pub mod explain;
pub mod keys;
pub mod usage;

use crate::{
    cli::InvalidWhen,
    config::{Mistake, Mistakes},
    upstream::NoListing,
};
use llm_contract::{Chain, InvalidKey, InvalidTable};
use llm_keys::{KeysError, StoreError};
use llm_proxy::{
    app::{explain::NoAnswer, ledger::LedgerError, logging, serving::NoPort},
    auth::oidc::InvalidIssuer,
    tls::InvalidCertificate,
};
use std::{
    io::{self, Write},
    path::PathBuf,
};
use sysexits::ExitCode;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Prints as one mistake per line.
    #[error(transparent)]
    Config(#[from] Mistakes),
    /// Neither a configuration nor an upstream to start with.
    #[error(
        "there is no {}; name a configuration with --config, or a model server with --upstream",
        file.display()
    )]
    NoConfig {
        /// The configuration that was named, or would be used by default.
        file: PathBuf,
    },
    /// See the source.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// See the source.
    #[error("`--expires`")]
    Expires(#[source] InvalidWhen),
    /// See the source.
    #[error("`--since`")]
    Since(#[source] InvalidWhen),
    /// See the source.
    #[error(transparent)]
    Port(#[from] NoPort),
    /// The data folder cannot be used.
    #[error(
        "the data folder {} cannot be used; mend it, or name another with --data-dir",
        folder.display()
    )]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing was ever kept there, so it is likely the wrong one.
    #[error(
        "there is no data folder {}; name the gateway's with --data-dir or --config",
        folder.display()
    )]
    NoFolder {
        /// Which.
        folder: PathBuf,
    },
    /// Two gateways on one folder would overwrite each other's ledger.
    #[error(
        "the data folder {} belongs to a gateway that runs (process {holder}); stop it, or name \
         another folder with --data-dir", folder.display()
    )]
    FolderTaken {
        /// Which.
        folder: PathBuf,
        /// The other's process id, as far as it is known.
        holder: String,
    },
    /// A file cannot be read.
    #[error("reading {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// See the source.
    #[error("the certificate")]
    Certificate(#[from] InvalidCertificate),
    /// See the source.
    #[error("the configuration cannot be used")]
    Table(#[from] InvalidTable),
    /// See the source.
    #[error("an issuer cannot be used")]
    Issuer(#[from] InvalidIssuer),
    /// The server named by `--upstream` does not say what to serve.
    #[error("{url}/v1/models {}", Chain(why))]
    Upstream {
        /// Where.
        url: String,
        /// What went wrong.
        why: NoListing,
    },
    /// What was said on the command line cannot be used.
    #[error("{}", mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Arguments {
        /// What is wrong.
        mistakes: Vec<Mistake>,
    },
    /// See the source.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// Neither a key nor its id.
    #[error("whose key? Name it with --key-id, or put the key into LLM_GATEWAY_KEY")]
    NoKey,
    /// Not a key of ours.
    #[error("`--key`")]
    Key(#[source] InvalidKey),
    /// Standard output is closed, there is no temporary folder, and the like.
    #[error("the operating system refused")]
    System(#[from] io::Error),
    /// A defect.
    #[error("writing the answer as JSON")]
    Json(#[source] serde_json::Error),
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Folder { folder, source } => Self::Folder { folder, source },
            LedgerError::File { path, source } => Self::File { path, source },
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        // Where it was to go is closed or full.
        if error.is_io() { Self::System(error.into()) } else { Self::Json(error) }
    }
}

impl Failure {
    /// Tells why the command failed. Mistakes in a configuration stand for themselves, each on a
    /// line that begins with file and line, so that editors find them.
    pub fn complain(&self) {
        let Self::Config(mistakes) = self else {
            return logging::complain("llm-gateway", self);
        };
        // Nobody is left to tell if this fails.
        let _ = writeln!(io::stderr(), "{mistakes}");
    }

    /// What to exit with.
    pub fn exit(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Store(StoreError::Damaged { .. }) => ExitCode::DataErr,
            Self::Table(_) | Self::Issuer(_) | Self::Certificate(_) | Self::NoConfig { .. } => {
                ExitCode::DataErr
            }
            Self::Expires(_)
            | Self::Since(_)
            | Self::Key(_)
            | Self::NoKey
            | Self::Arguments { .. } => ExitCode::Usage,
            Self::Store(StoreError::Keys(error)) => match error {
                KeysError::Full | KeysError::IdTaken(_) => ExitCode::Unavailable,
                KeysError::Name
                | KeysError::Models
                | KeysError::Groups
                | KeysError::Expiry
                | KeysError::Concurrency
                | KeysError::Overlap
                | KeysError::Unknown(_)
                | KeysError::Revoked(_)
                | KeysError::Suspended(_)
                | KeysError::NotYetValid(_)
                | KeysError::Expired(_)
                | KeysError::Replaced { .. } => ExitCode::Usage,
            },
            Self::System(_)
            | Self::Port(_)
            | Self::Folder { .. }
            | Self::NoFolder { .. }
            | Self::FolderTaken { .. }
            | Self::File { .. }
            | Self::Upstream { .. }
            | Self::NoAnswer(_)
            | Self::Store(
                StoreError::Io { .. } | StoreError::Locked { .. } | StoreError::Mint(_),
            ) => ExitCode::Unavailable,
            Self::Json(_) | Self::Store(StoreError::Json(_)) => ExitCode::Software,
        }
    }
}
