//! What can go wrong with a cluster.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use kube::config::KubeconfigError;

/// A cluster did not do what a test asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("using {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("running {program}")]
    Run { program: PathBuf, source: io::Error },
    /// A script ended instead of answering; without a code if a signal ended it.
    #[error("{script} ended; standard error has the reason")]
    Ended { script: PathBuf, code: Option<i32> },
    #[error("looking for a free port")]
    Port { source: io::Error },
    #[error("{command} ended with {code:?}: {message}")]
    Failed { command: String, code: Option<i32>, message: String },
    #[error("reading the kubeconfig {path}")]
    Kubeconfig { path: PathBuf, source: KubeconfigError },
    #[error("asking the API server to {what}")]
    Api { what: &'static str, source: kube::Error },
    #[error("the API server answered without {what}")]
    Missing { what: &'static str },
    #[error("parsing a line of the audit log")]
    Audit { source: serde_json::Error },
    #[error("{what}: not within {deadline:?}")]
    TimedOut { what: String, deadline: Duration },
    #[error("waiting for a script")]
    Thread { source: tokio::task::JoinError },
}
