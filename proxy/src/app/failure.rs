//! Why `llm-proxy` did not do what it was asked.

use super::{explain::NoAnswer, ledger::LedgerError, serving::NoPort};
use crate::tls::InvalidCertificate;
use llm_contract::InvalidKey;
use std::{io, path::PathBuf};
use sysexits::ExitCode;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// See the source.
    #[error(transparent)]
    Port(#[from] NoPort),
    /// A file cannot be read.
    #[error("reading {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// See the source.
    #[error("the certificate of --tls-cert and --tls-key")]
    Certificate(#[from] InvalidCertificate),
    /// There is nothing in it.
    #[error("{} holds no pepper", path.display())]
    Pepper {
        /// The file.
        path: PathBuf,
    },
    /// The operator's certificate could not be compared with anything.
    #[error(
        "the operator's host cannot stand in a certificate; name it with --control-server-name"
    )]
    ServerName,
    /// See the source.
    #[error(transparent)]
    Usage(#[from] LedgerError),
    /// The folder for the copy of the table cannot be used.
    #[error("the folder {} cannot be used; mend it, or name another with --state", folder.display())]
    State {
        /// Which.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// See the source.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// Neither a key nor its id.
    #[error("whose key? Name it with --key-id, or put the key into LLM_PROXY_KEY")]
    NoKey,
    /// Not a key of ours.
    #[error("`--key`")]
    Key(#[source] InvalidKey),
    /// Standard output is closed, and the like.
    #[error("the operating system refused")]
    System(#[from] io::Error),
}

impl Failure {
    /// What to exit with.
    pub fn exit(&self) -> ExitCode {
        match self {
            Self::Certificate(_) | Self::Pepper { .. } => ExitCode::DataErr,
            Self::ServerName | Self::NoKey | Self::Key(_) => ExitCode::Usage,
            Self::Port(_)
            | Self::File { .. }
            | Self::Usage(_)
            | Self::State { .. }
            | Self::NoAnswer(_)
            | Self::System(_) => ExitCode::Unavailable,
        }
    }
}
