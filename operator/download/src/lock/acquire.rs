//! Waits for the lock, and takes it.

use super::{
    file_lock::FileLock,
    heartbeat::{self, Staleness},
    volume_lock::{self, VolumeLock},
};
use crate::{
    clock,
    fs::{FsError, interruptible, is_gone},
    name::OURS,
    output::note,
};
use backon::{BackoffBuilder as _, ConstantBuilder};
use std::{fs, path::Path, time::Duration};
use tokio_util::sync::CancellationToken;

const HEARTBEATS_PER_TAKEOVER: u32 = 8;
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(crate) struct LockConfig {
    /// A holder without a heartbeat for this long is replaced.
    pub(crate) takeover_after: Duration,
    /// Do without `flock`.
    pub(crate) lease_only: bool,
}

/// Waits for the lock of a volume; `None` once `is_complete` makes it unnecessary. Cancels
/// `shutdown` when the lock is lost.
pub(crate) async fn acquire(
    root: &Path,
    config: LockConfig,
    shutdown: &CancellationToken,
    is_complete: impl Fn() -> bool,
) -> Result<Option<VolumeLock>, FsError> {
    let poll = (config.takeover_after / HEARTBEATS_PER_TAKEOVER).min(POLL_INTERVAL_MAX);
    // With jitter, so that processes that gave way to one another do not meet again.
    let polls = ConstantBuilder::default().with_delay(poll / 2).with_jitter();
    let mut staleness = Staleness::default();
    for (attempt, wait) in polls.without_max_times().build().enumerate() {
        let waited = attempt > 0;
        if let Some(lock) = try_acquire(root, config, &mut staleness, shutdown)? {
            return Ok(Some(VolumeLock { waited, ..lock }));
        }
        if !waited {
            note(format_args!("waiting for another process that is writing to this volume"));
        }
        interruptible(shutdown, tokio::time::sleep(wait)).await?;
        if is_complete() {
            break;
        }
    }
    Ok(None)
}

/// Takes the lock if no other process holds it.
pub(super) fn try_acquire(
    root: &Path,
    config: LockConfig,
    staleness: &mut Staleness,
    shutdown: &CancellationToken,
) -> Result<Option<VolumeLock>, FsError> {
    let home = root.join(OURS);
    fs::create_dir_all(&home).map_err(FsError::at("creating", &home))?;
    let file_lock =
        if config.lease_only { Some(FileLock::default()) } else { FileLock::try_acquire(&home)? };
    let Some(file_lock) = file_lock else { return Ok(None) };
    let mut is_free = |own: Option<&Path>| -> Result<bool, FsError> {
        let now = clock::now();
        let mut held = volume_lock::folders(&home)?;
        held.retain(|folder| {
            // Of all folders, so that the time of all runs.
            let unchanged = staleness.record(folder, heartbeat::read(folder), now);
            let is_abandoned = unchanged >= config.takeover_after
                || volume_lock::is_released(folder)
                || file_lock.proves_dead(folder);
            Some(folder.as_path()) != own && !is_abandoned
        });
        Ok(held.is_empty())
    };
    if !is_free(None)? {
        return Ok(None);
    }
    let id = getrandom::u64().map_err(|error| FsError::at("naming", &home)(error.into()))?;
    let folder = volume_lock::folder(&home, &format!("{id:016x}{}", file_lock.scope));
    fs::create_dir(&folder).map_err(FsError::at("creating", &folder))?;
    let created = heartbeat::create(&folder);
    if created.is_err() || !is_free(Some(&folder))? {
        let _ = fs::remove_dir_all(&folder);
        return match created {
            Err(error) if !is_gone(&error) => Err(FsError::at("writing", &folder)(error)),
            _ => Ok(None),
        };
    }
    let every = config.takeover_after / HEARTBEATS_PER_TAKEOVER;
    let heartbeat = heartbeat::start(folder.clone(), every, shutdown.clone());
    let _heartbeat = heartbeat.map_err(FsError::at("starting the heartbeat in", &folder))?;
    Ok(Some(VolumeLock { home, folder, file_lock, _heartbeat, waited: false }))
}
