//! Everything that ends a download early, and the exit code it ends with.

use crate::{
    filter::InvalidPattern,
    hub::{HubMessage, InvalidEndpoint, InvalidListing, InvalidToken, Trouble},
};
use reqwest::StatusCode;
use std::{io, path::PathBuf, process::ExitCode};

/// Why there are no weights.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The hub does not let us.
    #[error(
        "the hub refuses {repository} with {status}{message}: check the name; if the model is \
         gated, accept its licence at {page}; then name in `authSecretName` a Secret whose \
         `HF_TOKEN` may read it"
    )]
    Denied {
        /// Asked for.
        repository: String,
        /// Answered.
        status: StatusCode,
        /// Said by the hub.
        message: HubMessage,
        /// Where to accept.
        page: String,
    },
    /// It is not there.
    #[error(
        "the hub has no {repository} at revision `{revision}`{message}: check the name and the \
         revision"
    )]
    NotFound {
        /// Asked for.
        repository: String,
        /// Asked for.
        revision: String,
        /// Said by the hub.
        message: HubMessage,
    },
    /// The hub answered what no hub answers.
    #[error("the hub answers {status} for {repository}{message}")]
    Refused {
        /// Asked for.
        repository: String,
        /// Answered.
        status: StatusCode,
        /// Said by the hub.
        message: HubMessage,
    },
    /// What the repository lists cannot be taken as it is.
    #[error("the files that the hub lists for {repository} cannot be used")]
    Listing {
        /// Asked for.
        repository: String,
        /// Why.
        source: InvalidListing,
    },
    /// The endpoint is none.
    #[error("reading `HF_ENDPOINT`")]
    Endpoint(#[source] InvalidEndpoint),
    /// The token is none.
    #[error("reading `HF_TOKEN`")]
    Token(#[source] InvalidToken),
    /// The patterns cannot be taken together.
    #[error("reading the include and exclude patterns")]
    Patterns(#[source] InvalidPattern),
    /// The bytes are not those that were promised.
    #[error(
        "{path} has another checksum than the hub promises, {times} times in a row: its copy at \
         the hub, the mirror or on the way is damaged"
    )]
    Checksum {
        /// Which file.
        path: String,
        /// How often.
        times: u32,
    },
    /// The hub does not answer.
    #[error("the hub is not available: gave up on {what} after {times} tries")]
    Unavailable {
        /// What was asked for.
        what: String,
        /// How often.
        times: usize,
        /// What went wrong the last time.
        source: Trouble,
    },
    /// The client could not be made.
    #[error("preparing to talk to the hub")]
    Client(#[source] reqwest::Error),
    /// There is nothing to check the hub's certificate with.
    #[error(
        "this image has no root certificates, so {endpoint} cannot be trusted: mount some and \
         name them in `SSL_CERT_FILE`"
    )]
    NoRoots {
        /// The hub.
        endpoint: String,
    },
    /// TLS could not be set up.
    #[error("preparing TLS")]
    Tls(#[source] rustls::Error),
    /// It would not fit.
    #[error(
        "{folder} has {free} bytes free, and {need} are needed ({margin} of them to spare): make \
         the volume larger (`spec.model.storage.size`), or leave files out \
         (`spec.model.files.exclude`)"
    )]
    NoRoom {
        /// The volume.
        folder: PathBuf,
        /// Free, in bytes.
        free: u64,
        /// Needed, in bytes.
        need: u64,
        /// Of these to spare, in bytes.
        margin: u64,
    },
    /// It did not fit.
    #[error(
        "the volume became full while writing {path}: make it larger (`spec.model.storage.size`); \
         what is there is kept, and the next start goes on from it"
    )]
    Full {
        /// What was being written.
        path: PathBuf,
    },
    /// It is someone else's.
    #[error(
        "{action} {path} is not permitted: give the pod an `fsGroup`, or the folder to the user \
         that this runs as"
    )]
    Forbidden {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// The volume does not work.
    #[error("{action} {path}")]
    Volume {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it did not work.
        source: io::Error,
    },
    /// Writing there would write elsewhere.
    #[error("{path} is a symbolic link, and what is below it may not be on the volume: remove it")]
    SymbolicLink {
        /// The link.
        path: PathBuf,
    },
    /// Nobody could ever take the lock.
    #[error("{folder} has been damaged, nobody can take its lock: remove that folder")]
    NoToken {
        /// Our folder.
        folder: PathBuf,
    },
    /// Someone took over.
    #[error(
        "another process has taken over the volume, because this one was not heard of for too \
         long; it goes on, and the next start of this one finds what it did"
    )]
    LostLock,
    /// We were told to.
    #[error("stopped by a signal; what is there is kept, and the next start goes on from it")]
    Stopped,
    /// A folder to copy from has something that cannot be copied.
    #[error("{path} cannot be copied")]
    Source {
        /// What.
        path: PathBuf,
        /// Why.
        source: InvalidListing,
    },
    /// A defect of ours.
    #[error("a part of the program broke")]
    Defect(#[from] tokio::task::JoinError),
    /// The system lets us start nothing.
    #[error("starting")]
    Start(#[source] io::Error),
}

/// What the exit code says; sysexits' numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: the weights are on the volume.
    Done,
    /// 64: wrong usage.
    Usage,
    /// 65: the hub says no, or what it has cannot be used.
    Refused,
    /// 69: the hub is not available.
    Unavailable,
    /// 70: a defect of ours.
    Defect,
    /// 73: the volume cannot be written, or has no room.
    Volume,
    /// 75: another process took over the volume.
    LostLock,
    /// 143: stopped by a signal.
    Stopped,
}

impl Failure {
    /// A failure of the volume; a full one is told apart.
    pub(crate) fn volume(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| {
            let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
            if full.contains(&source.kind()) {
                Self::Full { path }
            } else if source.kind() == io::ErrorKind::PermissionDenied {
                Self::Forbidden { action, path }
            } else {
                Self::Volume { action, path, source }
            }
        }
    }

    /// How to exit.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Patterns(_) | Self::Endpoint(_) | Self::Token(_) => Exit::Usage,
            Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::Listing { .. }
            | Self::Source { .. }
            | Self::Checksum { .. } => Exit::Refused,
            Self::Unavailable { .. } | Self::NoRoots { .. } => Exit::Unavailable,
            Self::NoRoom { .. }
            | Self::Full { .. }
            | Self::Volume { .. }
            | Self::Forbidden { .. }
            | Self::SymbolicLink { .. }
            | Self::NoToken { .. } => Exit::Volume,
            Self::LostLock => Exit::LostLock,
            Self::Stopped => Exit::Stopped,
            Self::Client(_) | Self::Tls(_) | Self::Defect(_) | Self::Start(_) => Exit::Defect,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Usage => 64,
            Exit::Refused => 65,
            Exit::Unavailable => 69,
            Exit::Defect => 70,
            Exit::Volume => 73,
            Exit::LostLock => 75,
            Exit::Stopped => 143,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_says_what_to_do_about_it() {
        for (kind, said) in [
            (io::ErrorKind::PermissionDenied, "writing /m is not permitted: give the pod an"),
            (io::ErrorKind::StorageFull, "the volume became full while writing /m: make it larger"),
            (io::ErrorKind::QuotaExceeded, "the volume became full while writing /m: make it"),
            (io::ErrorKind::ReadOnlyFilesystem, "writing /m"),
        ] {
            let failure = Failure::volume("writing", "/m")(kind.into());
            assert!(failure.to_string().starts_with(said), "{failure}");
            assert_eq!(failure.exit(), Exit::Volume);
        }
    }
}
