//! Brings one file, whatever it takes.

use crate::{
    Failure,
    hub::{Hub, Miss, Trouble},
    name::{Commit, FilePath},
    part::{Fits, Part},
    retry::Retry,
    stop::Stop,
};
use bytes::Bytes;
use std::path::PathBuf;
use tokio::sync::mpsc;

/// How many chunks may be on their way from the network to the volume, for each file.
const CHUNKS_MAX: usize = 32;
/// How many bytes must come in one try for patience to begin anew.
const RENEWING_BYTES_MIN: u64 = 1024 * 1024;
/// How often a file may arrive whole and wrong.
const WRONG_TIMES_MAX: u32 = 3;

/// Where the bytes come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A repository at a commit.
    Hub(Hub),
    /// A folder, such as that of an image.
    Folder(PathBuf),
}

/// Runs what blocks beside the runtime.
pub(crate) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await?
}

impl Source {
    /// Makes a part whole.
    ///
    /// # Errors
    /// When no more tries are worth it; what has come stays.
    pub(crate) async fn complete(
        &self,
        commit: &Commit,
        path: &FilePath,
        mut part: Part,
        retry: Retry,
        stop: &Stop,
    ) -> Result<Part, Failure> {
        let (mut patience, mut wrong_times) = (retry.patience(), 0);
        loop {
            if part.is_right() {
                return Ok(part);
            }
            if part.is_whole() {
                wrong_times += 1;
                part.restart()?;
                if wrong_times == WRONG_TIMES_MAX {
                    return Err(Failure::Checksum { path: path.to_string(), times: wrong_times });
                }
            }
            let before = part.bytes();
            let missed;
            (part, missed) = self.go_on(commit, path, part, stop).await?;
            match missed {
                None => {}
                Some(Miss::Never(failure)) => return Err(failure),
                Some(Miss::Again(trouble)) => {
                    if trouble.spoils() {
                        part.restart()?;
                    }
                    if part.bytes() >= before.saturating_add(RENEWING_BYTES_MIN) {
                        patience.renew();
                    }
                    patience.after(trouble, path.as_str(), stop).await?;
                }
            }
        }
    }

    /// One try. The part comes back, with more bytes or fewer.
    async fn go_on(
        &self,
        commit: &Commit,
        path: &FilePath,
        part: Part,
        stop: &Stop,
    ) -> Result<(Part, Option<Miss>), Failure> {
        match self {
            Self::Hub(hub) => download(hub, commit, path, part, stop).await,
            Self::Folder(folder) => copy(folder.join(path), part, stop.clone()).await,
        }
    }
}

async fn download(
    hub: &Hub,
    commit: &Commit,
    path: &FilePath,
    mut part: Part,
    stop: &Stop,
) -> Result<(Part, Option<Miss>), Failure> {
    let (mut response, start) = match stop.or(hub.open(commit, path, part.bytes())).await? {
        Ok(opened) => opened,
        Err(miss) => return Ok((part, Some(miss))),
    };
    if start == 0 && part.bytes() > 0 {
        part.restart()?;
    }
    let (chunks, written) = mpsc::channel::<Bytes>(CHUNKS_MAX);
    let writer = beside(move || {
        let fits = part.absorb(written)?;
        Ok((part, fits))
    });
    let reader = async {
        // Dropped with this block, so that the writer ends.
        let chunks = chunks;
        while let Some(chunk) = hub.chunk(&mut response).await? {
            if chunks.send(chunk).await.is_err() {
                break;
            }
        }
        Ok::<_, Trouble>(())
    };
    let (read, wrote) = tokio::join!(stop.or(reader), writer);
    let ((part, fits), read) = (wrote?, read?);
    let missed = match (fits, read) {
        (Fits::No, _) => Some(Trouble::TooLong { size: part.size() }),
        (Fits::Yes, Err(trouble)) => Some(trouble),
        (Fits::Yes, Ok(())) if part.is_whole() => None,
        (Fits::Yes, Ok(())) => Some(Trouble::EndedEarly { bytes: part.bytes(), size: part.size() }),
    };
    Ok((part, missed.map(Miss::from)))
}

async fn copy(from: PathBuf, part: Part, stop: Stop) -> Result<(Part, Option<Miss>), Failure> {
    beside(move || {
        let mut part = part;
        let fits = part.copy(&from, &stop)?;
        let (bytes, size) = (part.bytes(), part.size());
        let missed = match fits {
            Fits::No => Some(Trouble::TooLong { size }),
            Fits::Yes if part.is_whole() => None,
            Fits::Yes => Some(Trouble::EndedEarly { bytes, size }),
        };
        Ok((part, missed.map(Miss::from)))
    })
    .await
}
