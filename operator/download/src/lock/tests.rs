use super::{acquire::try_acquire, file_lock::FileLock, heartbeat::Staleness, *};
use crate::fs::{FsError, list};
use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const FLOCK: LockConfig =
    LockConfig { takeover_after: Duration::from_secs(600), lease_only: false };
const LEASE: LockConfig = LockConfig { lease_only: true, ..FLOCK };
/// Heartbeats written while the file is being read.
const HEARTBEATS: u64 = 20_000;
/// How often each of several threads takes the lock.
const TURNS: u32 = 50;

fn acquire_now(root: &Path, config: LockConfig) -> Option<VolumeLock> {
    try_acquire(root, config, &mut Staleness::default(), &CancellationToken::new()).unwrap()
}

/// Takes over from a holder that lives, as from one without a heartbeat for too long.
fn take_over(root: &Path) -> Option<VolumeLock> {
    acquire_now(root, LockConfig { takeover_after: Duration::ZERO, ..LEASE })
}

fn fence(lock: &VolumeLock) {
    lock.fence(&CancellationToken::new()).unwrap();
}

fn is_lost(result: &Result<(), FsError>) -> bool {
    matches!(result, Err(FsError::LostLock))
}

#[test]
fn one_process_holds_the_lock_until_it_releases_it() {
    for (config, others) in [(FLOCK, FLOCK), (LEASE, LEASE), (FLOCK, LEASE), (LEASE, FLOCK)] {
        let root = TempDir::new().unwrap();
        let lock = acquire_now(root.path(), config).unwrap();
        assert!(acquire_now(root.path(), others).is_none(), "{config:?} {others:?}");
        lock.release().unwrap();
        assert!(acquire_now(root.path(), others).is_some(), "{config:?} {others:?}");
    }
}

#[test]
fn of_two_processes_that_take_over_one_succeeds() {
    let root = TempDir::new().unwrap();
    let _holder = acquire_now(root.path(), LEASE).unwrap();
    let config = LockConfig { takeover_after: Duration::from_millis(1), ..LEASE };
    let (mut first, mut second) = (Staleness::default(), Staleness::default());
    let attempt = |seen: &mut Staleness| {
        try_acquire(root.path(), config, seen, &CancellationToken::new()).unwrap()
    };
    assert!(attempt(&mut first).is_none() && attempt(&mut second).is_none());
    let new = std::iter::repeat_with(|| attempt(&mut first)).find_map(|lock| lock).unwrap();
    assert!(attempt(&mut second).is_none());
    fence(&new);
    new.check().unwrap();
}

#[test]
fn a_replaced_holder_can_neither_publish_nor_remove() {
    let root = TempDir::new().unwrap();
    let (published, kept) = (root.path().join("published"), root.path().join("kept"));
    fs::write(&kept, "kept").unwrap();
    let old = acquire_now(root.path(), LEASE).unwrap();
    fs::write(old.part_path("x.part"), "old").unwrap();
    let new = take_over(root.path()).unwrap();
    fence(&new);
    assert!(is_lost(&old.publish("x.part", &published)));
    assert!(is_lost(&old.publish_document(b"old", &published)));
    assert!(is_lost(&old.remove(&kept)));
    assert!(is_lost(&old.remove(&published)), "also what does not exist");
    assert!(!published.exists() && kept.exists());
    new.publish("x.part", &published).unwrap();
    new.remove(&kept).unwrap();
    assert!(published.exists() && !kept.exists());
}

#[test]
fn a_replaced_holder_does_not_release_the_lock_of_another() {
    let root = TempDir::new().unwrap();
    let old = acquire_now(root.path(), LEASE).unwrap();
    let new = take_over(root.path()).unwrap();
    fence(&new);
    assert!(old.release().is_err());
    assert!(acquire_now(root.path(), LEASE).is_none());
    new.release().unwrap();
}

#[test]
fn partial_files_of_a_holder_that_may_wake_up_are_copied() {
    let root = TempDir::new().unwrap();
    let old = acquire_now(root.path(), LEASE).unwrap();
    let mut open = File::create(old.part_path("x.part")).unwrap();
    open.write_all(b"good").unwrap();
    let new = take_over(root.path()).unwrap();
    fence(&new);
    open.write_all(b"bad").unwrap();
    assert_eq!(fs::read(new.part_path("x.part")).unwrap(), b"good");
}

#[test]
fn partial_files_of_a_dead_holder_are_moved() {
    for config in [FLOCK, LEASE] {
        let root = TempDir::new().unwrap();
        let old = acquire_now(root.path(), config).unwrap();
        fs::write(old.part_path("x.part"), "good").unwrap();
        let before = fs::metadata(old.part_path("x.part")).unwrap().ino();
        if config.lease_only {
            old.release().unwrap();
        } else {
            // As the kernel does when a process is killed.
            drop(old);
        }
        let new = acquire_now(root.path(), config).unwrap();
        fence(&new);
        assert_eq!(fs::metadata(new.part_path("x.part")).unwrap().ino(), before);
    }
}

#[test]
fn a_holder_under_another_kernel_is_not_taken_for_dead() {
    let root = TempDir::new().unwrap();
    let old = acquire_now(root.path(), FLOCK).unwrap();
    let here = old.folder.clone();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let elsewhere = here.to_str().unwrap().replace(boot.trim(), "elsewhere");
    assert_ne!(Path::new(&elsewhere), here);
    drop(old);
    fs::rename(&here, &elsewhere).unwrap();
    assert!(acquire_now(root.path(), FLOCK).is_none());
    fs::rename(&elsewhere, &here).unwrap();
    assert!(acquire_now(root.path(), FLOCK).is_some());
}

#[test]
fn processes_that_try_at_the_same_time_get_the_lock_or_wait_and_never_fail() {
    for configs in [[FLOCK; 4], [LEASE; 4], [FLOCK, LEASE, FLOCK, LEASE]] {
        let root = TempDir::new().unwrap();
        let holders = AtomicU32::new(0);
        let with_lock = |config| {
            for _ in 0..TURNS {
                let mut attempts = std::iter::repeat_with(|| acquire_now(root.path(), config));
                let lock = attempts.find_map(|acquired| acquired).unwrap();
                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                fence(&lock);
                lock.check().unwrap();
                holders.fetch_sub(1, Ordering::SeqCst);
                lock.release().unwrap();
            }
        };
        std::thread::scope(|threads| {
            for config in configs {
                threads.spawn(move || with_lock(config));
            }
        });
    }
}

#[test]
fn a_heartbeat_file_is_complete_whenever_its_writer_may_die() {
    let folder = TempDir::new().unwrap();
    heartbeat::create(folder.path()).unwrap();
    let file = folder.path().join(heartbeat::FILE);
    let complete = fs::metadata(&file).unwrap().len();
    std::thread::scope(|threads| {
        let writer = threads.spawn(|| {
            (0..HEARTBEATS).for_each(|count| heartbeat::write(folder.path(), count).unwrap());
        });
        while !writer.is_finished() {
            assert_eq!(fs::metadata(&file).unwrap().len(), complete);
        }
    });
    assert_ne!(heartbeat::read(folder.path()), None);
}

#[tokio::test]
async fn a_folder_without_a_heartbeat_is_taken_over_when_it_has_been_so_for_too_long() {
    let root = TempDir::new().unwrap();
    fs::create_dir_all(root.path().join(".llm-download/work-0123")).unwrap();
    let config = LockConfig { takeover_after: Duration::from_millis(40), lease_only: false };
    assert!(acquire_now(root.path(), config).is_none());
    let lock =
        acquire(root.path(), config, &CancellationToken::new(), || false).await.unwrap().unwrap();
    assert!(lock.waited);
    fence(&lock);
    assert_eq!(volume_lock::folders(&lock.home).unwrap(), std::slice::from_ref(&lock.folder));
}

#[test]
fn a_process_that_dies_while_taking_the_lock_leaves_nothing_for_long() {
    let root = TempDir::new().unwrap();
    let home = root.path().join(".llm-download");
    fs::create_dir(&home).unwrap();
    let file_lock = FileLock::try_acquire(&home).unwrap().unwrap();
    let id = format!("0123{}", file_lock.scope);
    fs::create_dir(volume_lock::folder(&home, &id)).unwrap();
    drop(file_lock);
    let lock = acquire_now(root.path(), FLOCK).unwrap();
    fence(&lock);
    lock.release().unwrap();
    let left = list(&home).unwrap();
    assert!(left.len() == 1 && left[0].ends_with("lock"), "{left:?}");
}
