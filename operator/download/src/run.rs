//! The whole of it: what is wanted, what is there, who writes, and what is missing.

use crate::{
    Exit, Failure, State,
    fetch::{Source, beside},
    filter::Filter,
    folder,
    lock::{self, Lock, Terms},
    name::FilePath,
    part::{self, Part},
    retry::Retry,
    stop::{Cause, Stop},
    tally::{self, Tally},
    volume::Volume,
    weights::{Entry, Want, Weights},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
};

/// How long a download that is told to stop may take to do so.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How often the hub is asked again when the weights that it named last are here.
const RETRIES_WHEN_SERVED: usize = 2;

/// One download, or one copy.
#[derive(Debug)]
pub struct Job {
    pub(crate) want: Want,
    pub(crate) filter: Filter,
    pub(crate) source: Source,
    pub(crate) volume: Volume,
    /// How many files at a time.
    pub(crate) workers: usize,
    pub(crate) retry: Retry,
    pub(crate) terms: Terms,
}

/// What a look at the volume and the hub says.
enum Survey {
    Here(Weights),
    Missing(Weights),
}

/// Brings the weights, until it is done, has failed or is told to stop by a signal.
///
/// # Errors
/// [`Failure`].
pub async fn run(job: Job) -> Result<(), Failure> {
    let stop = Stop::default();
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Start)?;
    let tally = Tally::default();
    let (runtime, count, ending) = (Handle::current(), tally.clone(), stop.clone());
    // Beside the rest, because a volume that hangs must not keep us from stopping.
    let mut work = pin!(beside(move || runtime.block_on(job.run(&count, &ending))));
    tokio::select! {
        done = &mut work => {
            tally.print();
            return done;
        }
        never = tally.print_on() => match never {},
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.because(Cause::Signal);
    tokio::time::timeout(STOP_WITHIN, work).await.unwrap_or(Err(Failure::Stopped))
}

impl Job {
    async fn run(&self, tally: &Tally, stop: &Stop) -> Result<(), Failure> {
        let weights = match self.survey(stop).await? {
            Survey::Here(weights) => weights,
            Survey::Missing(weights) => self.take_turns(weights, tally, stop).await?,
        };
        tally.done(&weights);
        Ok(())
    }

    /// Brings the weights when it is our turn, unless another process has by then.
    async fn take_turns(
        &self,
        weights: Weights,
        tally: &Tally,
        stop: &Stop,
    ) -> Result<Weights, Failure> {
        tally.begin(&weights, State::Waiting);
        let served = || self.serves(&weights);
        let lock = lock::acquire(&self.volume.root, self.terms, stop, served).await?;
        let Some(lock) = lock.map(Arc::new) else { return Ok(weights) };
        let written = self.write(&lock, weights, tally, stop).await;
        match (&written, Arc::into_inner(lock)) {
            (Err(Failure::LostLock), _) | (_, None) => {}
            (_, Some(lock)) => {
                let released = lock.release();
                if written.is_ok() {
                    released?;
                }
            }
        }
        written
    }

    /// What the hub has, and whether it is here. When the hub does not say, the last good
    /// weights of the same name are good enough.
    async fn survey(&self, stop: &Stop) -> Result<Survey, Failure> {
        let Some(marker) = self.volume.marker().filter(|marker| self.want.is_met_by(marker)) else {
            return self.list(self.retry, stop).await.map(Survey::Missing);
        };
        if self.want.is_at(&marker.commit) {
            return Ok(Survey::Here(marker));
        }
        let times = self.retry.times.min(RETRIES_WHEN_SERVED);
        match self.list(Retry { times, ..self.retry }, stop).await {
            Ok(weights) if weights.commit == marker.commit => Ok(Survey::Here(marker)),
            Ok(weights) => Ok(Survey::Missing(weights)),
            Err(failure) if matches!(failure.exit(), Exit::Refused | Exit::Unavailable) => {
                tally::note(format_args!(
                    "warning: {}; going on with commit {}, which is on the volume",
                    crate::report::chain(&failure),
                    marker.commit
                ));
                Ok(Survey::Here(marker))
            }
            Err(failure) => Err(failure),
        }
    }

    async fn list(&self, retry: Retry, stop: &Stop) -> Result<Weights, Failure> {
        match &self.source {
            Source::Hub(hub) => hub.weights(&self.want, &self.filter, retry, stop).await,
            Source::Folder(folder) => {
                let (folder, want, stop) = (folder.clone(), self.want.clone(), stop.clone());
                beside(move || folder::weights(&folder, &want, &stop)).await
            }
        }
    }

    /// Whether exactly these weights are complete.
    fn serves(&self, weights: &Weights) -> bool {
        self.volume
            .marker()
            .is_some_and(|marker| self.want.is_met_by(&marker) && marker.commit == weights.commit)
    }

    /// Completes the weights, as the only writer.
    async fn write(
        &self,
        lock: &Arc<Lock>,
        weights: Weights,
        tally: &Tally,
        stop: &Stop,
    ) -> Result<Weights, Failure> {
        let (ours, ending) = (Arc::clone(lock), stop.clone());
        beside(move || ours.fence(&ending)).await?;
        // Another process may have brought them and given the lock back since we looked last.
        if self.serves(&weights) {
            return Ok(weights);
        }
        let weights = if lock.waited {
            // What the hub named before may be older than what the other process has brought.
            match self.survey(stop).await? {
                Survey::Here(weights) => return Ok(weights),
                Survey::Missing(weights) => weights,
            }
        } else {
            weights
        };
        tally.begin(&weights, State::Verifying);
        let here = self.verify(&weights, tally, stop).await?;
        let missing = || weights.files.iter().filter(|(path, _)| !here.contains(*path));
        let parts: BTreeSet<_> = missing().map(|(path, entry)| entry.part_name(path)).collect();
        lock.keep_parts(|name| parts.contains(name))?;
        self.volume.retire(lock, &weights)?;
        let begun: u64 = parts.iter().map(|part| lock.part_bytes(part)).sum();
        let bytes: u64 = missing().map(|(_, entry)| entry.size).sum();
        self.volume.make_room(lock, bytes.saturating_sub(begun), |path| here.contains(path))?;
        tally.state(State::Downloading);
        self.bring_all(lock, &weights, missing(), tally, stop).await?;
        let (volume, ours, concluded) = (self.volume.clone(), Arc::clone(lock), weights.clone());
        beside(move || volume.conclude(&ours, &concluded)).await?;
        Ok(weights)
    }

    /// Which files are here already. Those that the last marker vouches for are not read again.
    async fn verify(
        &self,
        weights: &Weights,
        tally: &Tally,
        stop: &Stop,
    ) -> Result<BTreeSet<FilePath>, Failure> {
        let marker = self.volume.marker();
        let vouched = |path: &FilePath, entry: &Entry| {
            marker.as_ref().is_some_and(|marker| marker.files.get(path) == Some(entry))
        };
        let found = weights.files.iter().filter(|(path, entry)| self.volume.has(path, entry));
        let checked = stream::iter(found).map(async |(path, entry)| {
            let (at, wanted, stop) = (self.volume.file(path), *entry, stop.clone());
            let right =
                vouched(path, entry) || beside(move || part::is_right(&at, &wanted, &stop)).await?;
            if right {
                tally.add(entry.size);
                tally.one_file();
            }
            Ok::<_, Failure>(right.then(|| path.clone()))
        });
        let checked = checked.buffer_unordered(self.workers);
        checked.try_filter_map(async |path| Ok(path)).try_collect().await
    }

    /// Brings all files that are missing. When one cannot be had, the others stop where they are.
    async fn bring_all<'a>(
        &self,
        lock: &Arc<Lock>,
        weights: &Weights,
        missing: impl Iterator<Item = (&'a FilePath, &'a Entry)>,
        tally: &Tally,
        stop: &Stop,
    ) -> Result<(), Failure> {
        let stop = stop.child();
        let bring = |(path, entry)| self.bring(lock, weights, (path, entry), tally, &stop);
        let mut brought = pin!(stream::iter(missing.map(bring)).buffer_unordered(self.workers));
        let mut outcome = Ok(());
        while let Some(file) = brought.next().await {
            if file.is_err() && outcome.is_ok() {
                outcome = file;
                stop.cut();
            }
        }
        outcome
    }

    async fn bring(
        &self,
        lock: &Arc<Lock>,
        weights: &Weights,
        (path, entry): (&FilePath, &Entry),
        tally: &Tally,
        stop: &Stop,
    ) -> Result<(), Failure> {
        let name = entry.part_name(path);
        let (at, entry, count, ending) =
            (lock.unfinished(&name), *entry, tally.clone(), stop.clone());
        let part = beside(move || Part::open(at, entry, count, &ending)).await?;
        let part = self.source.complete(&weights.commit, path, part, self.retry, stop).await?;
        let (volume, lock, path) = (self.volume.clone(), Arc::clone(lock), path.clone());
        beside(move || {
            part.finish()?;
            volume.place(&lock, &name, &path)
        })
        .await?;
        tally.one_file();
        Ok(())
    }
}
