//! What can go wrong with a cluster.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use kube::config::KubeconfigError;

/// A cluster did not do what a test asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A file of the cluster's folder could not be used.
    #[error("using {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program could not be started, or not be talked to.
    #[error("running {program}")]
    Run {
        /// Which.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A script ended instead of answering.
    #[error("{script} ended; why is on standard error")]
    Ended {
        /// Which.
        script: PathBuf,
        /// Its exit code, if it ended by itself.
        code: Option<i32>,
    },
    /// There is no free port.
    #[error("looking for a free port")]
    Port {
        /// Why the last one was not free.
        source: io::Error,
    },
    /// A program ended with an error.
    #[error("{command} ended with {code:?}: {message}")]
    Failed {
        /// The program and its arguments.
        command: String,
        /// Its exit code, if it ended by itself.
        code: Option<i32>,
        /// What it wrote to standard error.
        message: String,
    },
    /// A kubeconfig could not be read.
    #[error("reading the kubeconfig {path}")]
    Kubeconfig {
        /// Which.
        path: PathBuf,
        /// Why.
        source: KubeconfigError,
    },
    /// The API server could not be asked, or refused.
    #[error("asking the API server to {what}")]
    Api {
        /// For what.
        what: &'static str,
        /// Why.
        source: kube::Error,
    },
    /// The API server's answer lacks what was asked for.
    #[error("the API server answered without {what}")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// A line of the API server's log is not what it should be.
    #[error("reading a line of the audit log")]
    Audit {
        /// Why.
        source: serde_json::Error,
    },
    /// Something did not happen in time.
    #[error("{what}: not within {deadline:?}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        deadline: Duration,
    },
    /// The thread that waited for a script broke.
    #[error("waiting for a script")]
    Thread {
        /// Why.
        source: tokio::task::JoinError,
    },
}
