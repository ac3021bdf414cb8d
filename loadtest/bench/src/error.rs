//! What can go wrong while measuring.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::wire::WireError;

/// One exchange with a target failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// The socket failed.
    #[error("using the connection to {address}")]
    Io { address: SocketAddr, source: io::Error },
    /// The answer is not the HTTP/1.1 we read.
    #[error("reading an answer of {address}")]
    Wire { address: SocketAddr, source: WireError },
    /// The connection ended inside an answer.
    #[error("{address} closed the connection inside an answer")]
    Closed { address: SocketAddr },
    /// The target refused.
    #[error("{address} answered {status}")]
    Status { address: SocketAddr, status: u16 },
}

/// The measurement cannot go on, or its result is over a limit.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("using {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("writing the report")]
    Report { source: io::Error },
    #[error("encoding a row")]
    Row { source: serde_json::Error },
    #[error("listening on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("starting {program}")]
    Start { program: PathBuf, source: io::Error },
    #[error("setting the CPU or the file limit of this process")]
    Process { source: rustix::io::Errno },
    #[error("{target} gave no 200 within {waited_ms} ms; see {log}")]
    NotReady { target: &'static str, waited_ms: u64, log: PathBuf, source: Option<ExchangeError> },
    #[error("{target} failed")]
    Target { target: &'static str, source: ExchangeError },
    #[error("the gateway minted no key: `keys create` ended with {status}; see {log}")]
    NoKey { status: std::process::ExitStatus, log: PathBuf },
    #[error("{path} holds no total")]
    NoTotal { path: PathBuf },
    #[error("{over} of the limits above do not hold")]
    OverLimit { over: usize },
}
