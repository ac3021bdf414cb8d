//! Waits for the lock, and takes it.

use super::{
    file_lock::FileLock,
    heartbeat::{self, Heartbeat},
    staleness::Staleness,
    volume_lock::{self, VolumeLock},
};
use crate::{
    clock,
    fs::{FsError, is_gone, random_name},
    name::OURS,
    output::note,
    shutdown::Shutdown,
};
use backon::{BackoffBuilder as _, ConstantBuilder};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

const HEARTBEATS_PER_TAKEOVER: u32 = 8;
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(crate) struct LockConfig {
    /// A holder without a heartbeat for this long is replaced.
    pub(crate) takeover_after: Duration,
    /// Do without `flock`.
    pub(crate) lease_only: bool,
}

/// Waits for the lock of a volume; `None` once `is_complete` makes it unnecessary.
pub(crate) async fn acquire(
    root: &Path,
    config: LockConfig,
    shutdown: &Shutdown,
    is_complete: impl Fn() -> bool,
) -> Result<Option<VolumeLock>, FsError> {
    let home = create_home(root)?;
    let poll = (config.takeover_after / HEARTBEATS_PER_TAKEOVER).min(POLL_INTERVAL_MAX);
    // With jitter, so that processes that gave way to one another do not meet again.
    let polls = ConstantBuilder::default().with_delay(poll / 2).with_jitter();
    let mut staleness = Staleness::default();
    for (attempt, wait) in polls.without_max_times().build().enumerate() {
        let waited = attempt > 0;
        if let Some(lock) = try_acquire(&home, config, &mut staleness, shutdown)? {
            return Ok(Some(VolumeLock { waited, ..lock }));
        }
        if !waited {
            note(format_args!("waiting for another process that is writing to this volume"));
        }
        shutdown.run(tokio::time::sleep(wait)).await?;
        if is_complete() {
            break;
        }
    }
    Ok(None)
}

pub(super) fn create_home(root: &Path) -> Result<PathBuf, FsError> {
    let home = root.join(OURS);
    fs::create_dir_all(&home).map_err(FsError::at("creating", &home))?;
    Ok(home)
}

/// Takes the lock if nobody else has it now.
pub(super) fn try_acquire(
    home: &Path,
    config: LockConfig,
    staleness: &mut Staleness,
    shutdown: &Shutdown,
) -> Result<Option<VolumeLock>, FsError> {
    let LockConfig { takeover_after, lease_only } = config;
    let file_lock = if lease_only {
        FileLock::Unavailable
    } else if let Some(file_lock) = FileLock::try_acquire(home)? {
        file_lock
    } else {
        return Ok(None);
    };
    let mut has_other_holder = |own: Option<&Path>| -> Result<bool, FsError> {
        let now = clock::now();
        let mut others = volume_lock::folders(home)?;
        others.retain(|folder| {
            // All are recorded, so that the time of all runs.
            let unchanged = staleness.record(folder, heartbeat::read(folder), now);
            let abandoned = unchanged >= takeover_after
                || volume_lock::is_released(folder)
                || file_lock.proves_dead(folder);
            Some(folder.as_path()) != own && !abandoned
        });
        Ok(!others.is_empty())
    };
    if has_other_holder(None)? {
        return Ok(None);
    }
    let id = random_name().map_err(FsError::at("naming a folder in", home))?;
    let folder = volume_lock::folder(home, &format!("{id}{}", file_lock.suffix()));
    fs::create_dir(&folder).map_err(FsError::at("creating", &folder))?;
    let created = heartbeat::create(&folder);
    if created.is_err() || has_other_holder(Some(&folder))? {
        let _ = fs::remove_dir_all(&folder);
        return match created {
            Err(error) if !is_gone(&error) => Err(FsError::at("writing", &folder)(error)),
            _ => Ok(None),
        };
    }
    let every = takeover_after / HEARTBEATS_PER_TAKEOVER;
    let heartbeat = Heartbeat::start(folder.clone(), every, shutdown.clone());
    let heartbeat = heartbeat.map_err(FsError::at("starting the heartbeat in", &folder))?;
    Ok(Some(VolumeLock { home: home.to_owned(), folder, file_lock, heartbeat, waited: false }))
}
