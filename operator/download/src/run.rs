//! A whole download: what is requested, what is there, who writes, and what is missing.

use crate::{
    error::{DownloadError, ExitStatus},
    fetch::{WeightsSource, run_blocking},
    filter::Filter,
    folder, fs,
    hub::RetryPolicy,
    lock::{self, LockConfig, VolumeLock},
    manifest::{FileEntry, Manifest, WeightsRequest},
    name::FilePath,
    output::{chain, note},
    part::{self, Part},
    progress::State,
    progress_reporter::ProgressReporter,
    shutdown::{Shutdown, ShutdownError},
    volume::Volume,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
};

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
    pub(crate) shutdown: Shutdown,
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
    // On a thread of its own, because a volume that hangs must not delay a shutdown.
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
    shutdown.trigger(ShutdownError::Signal);
    let done = tokio::time::timeout(SHUTDOWN_TIMEOUT, work).await;
    done.unwrap_or(Err(ShutdownError::Signal.into()))
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
        let Some(lock) = lock.map(Arc::new) else { return Ok(manifest) };
        let written = self.write(&lock, manifest).await;
        // While a thread still writes, the lock is not released.
        if let Some(lock) = Arc::into_inner(lock) {
            let released = lock.release();
            if written.is_ok() {
                released?;
            }
        }
        written
    }

    /// Compares hub and volume. If the hub fails, complete weights of the same name will do.
    async fn volume_status(&self) -> Result<VolumeStatus, DownloadError> {
        let marker = self.volume.marker().filter(|marker| self.request.matches(marker));
        let Some(marker) = marker else {
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
                note(format_args!(
                    "warning: {}; using commit {}, which is on the volume",
                    chain(&error),
                    marker.commit.as_str()
                ));
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
                Ok(self.shutdown.run(manifest).await??)
            }
            WeightsSource::Folder(folder) => {
                let (folder, request) = (folder.clone(), self.request.clone());
                let shutdown = self.shutdown.clone();
                run_blocking(move || folder::manifest(&folder, &request, &shutdown)).await
            }
        }
    }

    /// Whether exactly these weights are complete.
    fn is_complete(&self, manifest: &Manifest) -> bool {
        let marker = self.volume.marker().filter(|marker| self.request.matches(marker));
        marker.is_some_and(|marker| marker.commit == manifest.commit)
    }

    /// Completes the weights, as the only writer.
    async fn write(
        &self,
        lock: &Arc<VolumeLock>,
        mut manifest: Manifest,
    ) -> Result<Manifest, DownloadError> {
        let (held, shutdown) = (Arc::clone(lock), self.shutdown.clone());
        run_blocking(move || held.fence(&shutdown)).await?;
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
        self.progress.set_state(State::Downloading);
        self.fetch_all(lock, &manifest, missing()).await?;
        let (volume, held, committed) = (self.volume.clone(), Arc::clone(lock), manifest.clone());
        run_blocking(move || volume.commit(&held, &committed)).await?;
        Ok(manifest)
    }

    /// The files that are already there. Those that the marker lists are not read again.
    async fn verify(&self, manifest: &Manifest) -> Result<BTreeSet<FilePath>, DownloadError> {
        let marker = self.volume.marker();
        let marker = marker.as_ref();
        let found = manifest.files.iter().filter(|(path, entry)| self.volume.has(path, entry.size));
        let verified = stream::iter(found).map(async |(path, entry)| {
            let (file, expected, shutdown) =
                (self.volume.file(path), *entry, self.shutdown.clone());
            let is_verified = marker.is_some_and(|marker| marker.files.get(path) == Some(entry))
                || run_blocking(move || part::verify(&file, &expected, &shutdown)).await?;
            if is_verified {
                self.progress.add_bytes(entry.size);
                self.progress.add_file();
            }
            Ok::<_, DownloadError>(is_verified.then(|| path.clone()))
        });
        let verified = verified.buffer_unordered(self.workers);
        verified.try_filter_map(async |path| Ok(path)).try_collect().await
    }

    /// Fetches the missing files. When one fails, the others stop and keep their bytes.
    async fn fetch_all<'a>(
        &self,
        lock: &Arc<VolumeLock>,
        manifest: &Manifest,
        missing: impl Iterator<Item = (&'a FilePath, &'a FileEntry)>,
    ) -> Result<(), DownloadError> {
        let shutdown = self.shutdown.child();
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
        lock: &Arc<VolumeLock>,
        manifest: &Manifest,
        (path, entry): (&FilePath, &FileEntry),
        shutdown: &Shutdown,
    ) -> Result<(), DownloadError> {
        let (name, entry) = (entry.part_name(path), *entry);
        let (held, part_name, progress, stop) =
            (Arc::clone(lock), name.clone(), self.progress.clone(), shutdown.clone());
        let part =
            run_blocking(move || Part::open(held, &part_name, entry, progress, &stop)).await?;
        let part = self.source.complete(&manifest.commit, path, part, self.retry, shutdown).await?;
        let (volume, held, path) = (self.volume.clone(), Arc::clone(lock), path.clone());
        run_blocking(move || {
            part.sync()?;
            volume.publish(&held, &name, &path)
        })
        .await?;
        self.progress.add_file();
        Ok(())
    }
}
