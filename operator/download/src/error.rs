//! The program's error, and the exit codes.

use crate::{
    filter::InvalidPattern,
    fs::FsError,
    hub::{HubError, InvalidHubEndpoint, InvalidHubToken, InvalidListing},
};
use std::{io, path::PathBuf, process::ExitCode};

/// Why a download ended early.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error(
        "{path} does not match the checksum that the hub lists, {times} times in a row: it is \
         corrupted at the hub, at the mirror or in transit"
    )]
    Checksum { path: String, times: u32 },
    #[error("{path} cannot be copied")]
    Folder { path: PathBuf, source: InvalidListing },
    #[error("reading `HF_ENDPOINT`")]
    Endpoint(#[source] InvalidHubEndpoint),
    #[error("reading `HF_TOKEN`")]
    Token(#[source] InvalidHubToken),
    #[error("reading the include and exclude patterns")]
    Patterns(#[source] InvalidPattern),
    #[error("an internal task failed")]
    Task(#[from] tokio::task::JoinError),
    #[error("starting")]
    Start(#[source] io::Error),
}

/// The exit status; the codes are those of `sysexits.h` where one fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    Success = 0,
    Usage = 64,
    /// The hub refuses, or what it has cannot be used.
    Refused = 65,
    Unavailable = 69,
    Internal = 70,
    /// The volume cannot be written, or has no room.
    Volume = 73,
    LostLock = 75,
    Signal = 143,
}

impl DownloadError {
    pub fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Patterns(_) | Self::Endpoint(_) | Self::Token(_) => ExitStatus::Usage,
            Self::Hub(HubError::Client(_) | HubError::Tls(_)) => ExitStatus::Internal,
            Self::Hub(HubError::Unavailable { .. } | HubError::NoRoots { .. }) => {
                ExitStatus::Unavailable
            }
            Self::Hub(_) | Self::Folder { .. } | Self::Checksum { .. } => ExitStatus::Refused,
            Self::Fs(FsError::Interrupted) => ExitStatus::Signal,
            Self::Fs(FsError::LostLock) => ExitStatus::LostLock,
            Self::Fs(_) => ExitStatus::Volume,
            Self::Task(_) | Self::Start(_) => ExitStatus::Internal,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_error_says_how_to_fix_it() {
        for (kind, text) in [
            (io::ErrorKind::PermissionDenied, "writing /m is not permitted: give the pod an"),
            (io::ErrorKind::StorageFull, "no space left on the volume while writing /m: enlarge"),
            (io::ErrorKind::QuotaExceeded, "no space left on the volume while writing /m: enlarge"),
            (io::ErrorKind::ReadOnlyFilesystem, "writing /m"),
        ] {
            let error = DownloadError::from(FsError::at("writing", "/m")(kind.into()));
            assert!(error.to_string().starts_with(text), "{error}");
            assert_eq!(error.exit_status(), ExitStatus::Volume);
        }
    }
}
