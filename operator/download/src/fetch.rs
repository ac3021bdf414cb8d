//! Fetches one file, with retries.

use crate::{
    error::DownloadError,
    fs::interruptible,
    hub::{Hub, HubError, RetryPolicy},
    name::{Commit, FilePath},
    part::Part,
};
use bytes::Bytes;
use std::path::PathBuf;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Chunks between network and volume, for each file.
const CHUNKS_MAX: usize = 32;
/// An attempt that received this many bytes resets the backoff.
const PROGRESS_BYTES_MIN: u64 = 1024 * 1024;
const CHECKSUM_FAILURES_MAX: u32 = 3;

#[derive(Debug)]
pub(crate) enum WeightsSource {
    Hub(Hub),
    Folder(PathBuf),
}

/// Runs blocking work off the runtime's workers.
pub(crate) async fn run_blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, DownloadError>
where
    T: Send + 'static,
    E: Into<DownloadError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await?.map_err(Into::into)
}

impl WeightsSource {
    /// Completes and verifies a part. On failure its bytes stay on the volume.
    pub(crate) async fn complete(
        &self,
        commit: &Commit,
        path: &FilePath,
        mut part: Part,
        retry: RetryPolicy,
        shutdown: &CancellationToken,
    ) -> Result<Part, DownloadError> {
        let (mut backoff, mut checksum_failures) = (retry.backoff(), 0);
        while !part.is_verified() {
            if part.is_complete() {
                checksum_failures += 1;
                part.restart()?;
                if checksum_failures == CHECKSUM_FAILURES_MAX {
                    let (path, times) = (path.to_string(), checksum_failures);
                    return Err(DownloadError::Checksum { path, times });
                }
            }
            let before = part.bytes;
            let attempt;
            (part, attempt) = match self {
                Self::Hub(hub) => download(hub, commit, path, part, shutdown).await?,
                Self::Folder(folder) => copy(folder.join(path), part, shutdown.clone()).await?,
            };
            if let Err(error) = attempt {
                if error.discards_part() {
                    part.restart()?;
                }
                if part.bytes >= before.saturating_add(PROGRESS_BYTES_MIN) {
                    backoff.reset();
                }
                interruptible(shutdown, backoff.wait(error, path.as_str())).await??;
            }
        }
        Ok(part)
    }
}

/// One attempt. The part is returned with more bytes, or with none.
async fn download(
    hub: &Hub,
    commit: &Commit,
    path: &FilePath,
    mut part: Part,
    shutdown: &CancellationToken,
) -> Result<(Part, Result<(), HubError>), DownloadError> {
    let (mut response, start) =
        match interruptible(shutdown, hub.open(commit, path, part.bytes)).await? {
            Ok(opened) => opened,
            Err(error) => return Ok((part, Err(error))),
        };
    if start == 0 && part.bytes > 0 {
        part.restart()?;
    }
    let (sender, chunks) = mpsc::channel::<Bytes>(CHUNKS_MAX);
    let writer = run_blocking(move || part.append_all(chunks).map(|()| part));
    let reader = async {
        // Dropped with this block, so that the writer ends.
        let sender = sender;
        while let Some(chunk) = hub.chunk(&mut response).await? {
            if sender.send(chunk).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    let (received, part) = tokio::join!(interruptible(shutdown, reader), writer);
    let (received, part) = (received?, part?);
    // After too many bytes the connection may fail as well.
    let received = if part.overflowed { Ok(()) } else { received };
    let attempt = received.and_then(|()| check_length(&part));
    Ok((part, attempt))
}

async fn copy(
    from: PathBuf,
    mut part: Part,
    shutdown: CancellationToken,
) -> Result<(Part, Result<(), HubError>), DownloadError> {
    run_blocking(move || {
        part.copy(&from, &shutdown)?;
        let attempt = check_length(&part);
        Ok::<_, DownloadError>((part, attempt))
    })
    .await
}

fn check_length(part: &Part) -> Result<(), HubError> {
    let (bytes, size) = (part.bytes, part.entry.size);
    if part.overflowed {
        Err(HubError::TooLong { size })
    } else if !part.is_complete() {
        Err(HubError::Truncated { bytes, size })
    } else {
        Ok(())
    }
}
