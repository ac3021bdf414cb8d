//! A whole download: what is requested, what is there, who writes, and what is missing.

use crate::{
    error::{DownloadError, ExitStatus},
    fetch::{WeightsSource, run_blocking},
    filter::Filter,
    folder,
    fs::{self, FsError, interruptible},
    hub::RetryPolicy,
    lock::{self, LockConfig, VolumeLock},
    manifest::{FileEntry, Manifest, WeightsRequest},
    name::FilePath,
    output::{chain, note},
    part::{self, Part},
    progress::State,
    progress_reporter::ProgressReporter,
    volume::Volume,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use std::{collections::BTreeSet, pin::pin, time::Duration};
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Retries of the list of files when complete weights are on the volume.
const RETRIES_WITH_MARKER: usize = 2;

/// One download, or one copy of a folder.
#[derive(Debug)]
pub struct Downloader {
    pub(crate) request: WeightsRequest,
    pub(crate) filter: Filter,
    pub(crate) source: WeightsSource,
    pub(crate) volume: Volume,
    /// Files at a time.
    pub(crate) workers: usize,
    pub(crate) retry: RetryPolicy,
    pub(crate) lock: LockConfig,
    pub(crate) progress: ProgressReporter,
    pub(crate) shutdown: CancellationToken,
}

/// Whether the volume holds what is requested.
enum VolumeStatus {
    Complete(Manifest),
    Incomplete(Manifest),
}

/// Runs a download until it is done, fails, or is stopped by a signal.
pub async fn run(downloader: Downloader) -> Result<(), DownloadError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(DownloadError::Start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DownloadError::Start)?;
    let (progress, shutdown) = (downloader.progress.clone(), downloader.shutdown.clone());
    let runtime = Handle::current();
    // On a thread of its own, where it may block: a volume that hangs must not delay a shutdown.
    let mut work = pin!(run_blocking(move || runtime.block_on(downloader.run())));
    tokio::select! {
        done = &mut work => {
            progress.print();
            return done;
        }
        never = progress.print_periodically() => match never {},
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    shutdown.cancel();
    let done = tokio::time::timeout(SHUTDOWN_TIMEOUT, work).await;
    done.unwrap_or(Err(FsError::Interrupted.into()))
}

impl Downloader {
    async fn run(&self) -> Result<(), DownloadError> {
        let manifest = match self.volume_status().await? {
            VolumeStatus::Complete(manifest) => manifest,
            VolumeStatus::Incomplete(manifest) => self.with_lock(manifest).await?,
        };
        self.progress.finish(&manifest);
        Ok(())
    }

    /// Completes the weights under the lock, unless another process does meanwhile.
    async fn with_lock(&self, manifest: Manifest) -> Result<Manifest, DownloadError> {
        self.progress.begin(&manifest, State::Waiting);
        let is_complete = || self.is_complete(&manifest);
        let lock = lock::acquire(&self.volume.root, self.lock, &self.shutdown, is_complete).await?;
        let Some(lock) = lock else { return Ok(manifest) };
        let written = self.write(&lock, manifest).await;
        if written.is_err() {
            // Losing the lock is the cause of other errors, never the other way round.
            lock.check()?;
        }
        let released = lock.release();
        let manifest = written?;
        released?;
        Ok(manifest)
    }

    /// Compares source and volume. If the source fails, complete weights of the same name will do.
    async fn volume_status(&self) -> Result<VolumeStatus, DownloadError> {
        let Some(marker) = self.marker() else {
            return self.manifest(self.retry).await.map(VolumeStatus::Incomplete);
        };
        if self.request.pins(&marker.commit) {
            return Ok(VolumeStatus::Complete(marker));
        }
        let retries = self.retry.retries.min(RETRIES_WITH_MARKER);
        match self.manifest(RetryPolicy { retries, ..self.retry }).await {
            Ok(manifest) if manifest.commit == marker.commit => Ok(VolumeStatus::Complete(marker)),
            Ok(manifest) => Ok(VolumeStatus::Incomplete(manifest)),
            Err(error)
                if matches!(error.exit_status(), ExitStatus::Refused | ExitStatus::Unavailable) =>
            {
                let (error, commit) = (chain(&error), marker.commit.as_str());
                note(format_args!("warning: {error}; using commit {commit} on the volume"));
                Ok(VolumeStatus::Complete(marker))
            }
            Err(error) => Err(error),
        }
    }

    /// What the source has now.
    async fn manifest(&self, retry: RetryPolicy) -> Result<Manifest, DownloadError> {
        match &self.source {
            WeightsSource::Hub(hub) => {
                let manifest = hub.manifest(&self.request, &self.filter, retry);
                Ok(interruptible(&self.shutdown, manifest).await??)
            }
            WeightsSource::Folder(folder) => {
                folder::manifest(folder, &self.request, &self.shutdown)
            }
        }
    }

    /// The marker of complete weights that match the request.
    fn marker(&self) -> Option<Manifest> {
        self.volume.marker().filter(|marker| self.request.matches(marker))
    }

    /// Whether exactly these weights are complete.
    fn is_complete(&self, manifest: &Manifest) -> bool {
        self.marker().is_some_and(|marker| marker.commit == manifest.commit)
    }

    /// Completes the weights, as the only writer.
    async fn write(
        &self,
        lock: &VolumeLock,
        mut manifest: Manifest,
    ) -> Result<Manifest, DownloadError> {
        lock.fence(&self.shutdown)?;
        // Another process may have completed them and released the lock in the meantime.
        if self.is_complete(&manifest) {
            return Ok(manifest);
        }
        if lock.waited {
            // Or it has completed a newer commit than the one the hub named before.
            manifest = match self.volume_status().await? {
                VolumeStatus::Complete(manifest) => return Ok(manifest),
                VolumeStatus::Incomplete(manifest) => manifest,
            };
        }
        self.progress.begin(&manifest, State::Verifying);
        let verified = self.verify(&manifest).await?;
        let missing = || manifest.files.iter().filter(|(path, _)| !verified.contains(*path));
        let parts: BTreeSet<_> = missing().map(|(path, entry)| entry.part_name(path)).collect();
        lock.retain_parts(|name| parts.contains(name))?;
        self.volume.begin(lock, &manifest)?;
        let partial: u64 = parts.iter().filter_map(|part| fs::size(&lock.part_path(part))).sum();
        let bytes: u64 = missing().map(|(_, entry)| entry.size).sum();
        let bytes = bytes.saturating_sub(partial);
        self.volume.reserve_space(lock, bytes, |path| verified.contains(path))?;
        self.progress.update(|progress| progress.state = State::Downloading);
        self.fetch_all(lock, &manifest, missing()).await?;
        self.volume.commit(lock, &manifest)?;
        Ok(manifest)
    }

    /// The files that are already there. Those that the marker lists are not read again.
    async fn verify(&self, manifest: &Manifest) -> Result<BTreeSet<FilePath>, DownloadError> {
        let marker = self.volume.marker();
        let marker = marker.as_ref();
        let found = manifest.files.iter().filter(|(path, entry)| self.volume.has(path, entry.size));
        let verified = stream::iter(found).map(async |(path, entry)| {
            let (file, expected, shutdown) =
                (self.volume.file(path), entry.clone(), self.shutdown.clone());
            let is_verified = marker.is_some_and(|marker| marker.files.get(path) == Some(entry))
                || run_blocking(move || part::verify(&file, &expected, &shutdown)).await?;
            if is_verified {
                self.progress.update(|progress| {
                    progress.bytes += entry.size;
                    progress.files += 1;
                });
            }
            Ok::<_, DownloadError>(is_verified.then(|| path.clone()))
        });
        let verified = verified.buffer_unordered(self.workers);
        verified.try_filter_map(async |path| Ok(path)).try_collect().await
    }

    /// Fetches the missing files. When one fails, the others stop and keep their bytes. No file is
    /// written to any more when this returns.
    async fn fetch_all<'a>(
        &self,
        lock: &VolumeLock,
        manifest: &Manifest,
        missing: impl Iterator<Item = (&'a FilePath, &'a FileEntry)>,
    ) -> Result<(), DownloadError> {
        let shutdown = self.shutdown.child_token();
        let fetch = |(path, entry)| self.fetch(lock, manifest, (path, entry), &shutdown);
        let mut fetched = pin!(stream::iter(missing.map(fetch)).buffer_unordered(self.workers));
        let mut result = Ok(());
        while let Some(file) = fetched.next().await {
            if file.is_err() && result.is_ok() {
                result = file;
                shutdown.cancel();
            }
        }
        result
    }

    async fn fetch(
        &self,
        lock: &VolumeLock,
        manifest: &Manifest,
        (path, entry): (&FilePath, &FileEntry),
        shutdown: &CancellationToken,
    ) -> Result<(), DownloadError> {
        let name = entry.part_name(path);
        let (file, entry, progress, cancelled) =
            (lock.part_path(&name), entry.clone(), self.progress.clone(), shutdown.clone());
        let part = run_blocking(move || Part::open(file, entry, progress, &cancelled)).await?;
        let part = self.source.complete(&manifest.commit, path, part, self.retry, shutdown).await?;
        run_blocking(move || part.sync()).await?;
        self.volume.publish(lock, &name, path)?;
        self.progress.update(|progress| progress.files += 1);
        Ok(())
    }
}
