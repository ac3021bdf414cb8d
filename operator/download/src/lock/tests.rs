use super::*;
use std::{
    os::unix::fs::MetadataExt as _,
    sync::atomic::{AtomicU32, Ordering},
};
use tempfile::TempDir;

const FLOCK: Terms = Terms { takeover_after: Duration::from_secs(600), lease_only: false };
/// How often a test writes a beat while it is being read.
const BEATS: u32 = 20_000;
/// How often each of several has the lock in turn.
const TURNS: u32 = 50;
const LEASE: Terms = Terms { lease_only: true, ..FLOCK };

fn attempt_now(root: &Path, terms: Terms) -> Option<Lock> {
    let home = token::establish(root).unwrap();
    attempt(&home, terms, &mut Silence::default(), &Stop::default()).unwrap()
}

/// Takes over from a holder that lives, as one does that has not heard of it for too long.
fn take_over(holder: &Lock, terms: Terms) -> Option<Lock> {
    let held = Token::Held(holder.id.clone());
    Lock::take(&holder.home, &held, Flock::Unknown, terms, &Stop::default()).unwrap()
}

fn is_lost(tried: &Result<(), Failure>) -> bool {
    matches!(tried, Err(Failure::LostLock))
}

#[test]
fn one_holds_the_lock_until_it_gives_it_back() {
    for (terms, others) in [(FLOCK, FLOCK), (LEASE, LEASE), (FLOCK, LEASE), (LEASE, FLOCK)] {
        let root = TempDir::new().unwrap();
        let lock = attempt_now(root.path(), terms).unwrap();
        assert!(attempt_now(root.path(), others).is_none(), "{terms:?} {others:?}");
        lock.release().unwrap();
        assert!(attempt_now(root.path(), others).is_some(), "{terms:?} {others:?}");
    }
}

#[test]
fn of_two_who_take_over_one_succeeds() {
    let root = TempDir::new().unwrap();
    let holder = attempt_now(root.path(), LEASE).unwrap();
    let first = take_over(&holder, LEASE).unwrap();
    assert!(take_over(&holder, LEASE).is_none());
    first.fence(&Stop::default()).unwrap();
    first.check().unwrap();
}

#[test]
fn who_was_taken_over_can_neither_publish_nor_remove() {
    let root = TempDir::new().unwrap();
    let (seen, stays) = (root.path().join("seen"), root.path().join("stays"));
    fs::write(&stays, "stays").unwrap();
    let old = attempt_now(root.path(), LEASE).unwrap();
    fs::write(old.work.join("x.part"), "old").unwrap();
    let new = take_over(&old, LEASE).unwrap();
    new.fence(&Stop::default()).unwrap();
    assert!(is_lost(&old.publish("x.part", &seen)));
    assert!(is_lost(&old.publish_document(b"old", &seen)));
    assert!(is_lost(&old.remove(&stays)));
    assert!(is_lost(&old.remove(&seen)), "also what is not there");
    assert!(!seen.exists() && stays.exists());
    new.publish("x.part", &seen).unwrap();
    new.remove(&stays).unwrap();
    assert!(seen.exists() && !stays.exists());
}

#[test]
fn who_was_taken_over_does_not_give_back_what_is_not_his() {
    let root = TempDir::new().unwrap();
    let old = attempt_now(root.path(), LEASE).unwrap();
    let new = take_over(&old, LEASE).unwrap();
    new.fence(&Stop::default()).unwrap();
    assert!(old.release().is_err());
    assert!(attempt_now(root.path(), LEASE).is_none());
    new.release().unwrap();
}

#[test]
fn what_a_holder_that_may_wake_was_writing_is_copied() {
    let root = TempDir::new().unwrap();
    let old = attempt_now(root.path(), LEASE).unwrap();
    let mut open = File::create(old.work.join("x.part")).unwrap();
    open.write_all(b"good").unwrap();
    let new = take_over(&old, LEASE).unwrap();
    new.fence(&Stop::default()).unwrap();
    open.write_all(b"bad").unwrap();
    assert_eq!(fs::read(new.work.join("x.part")).unwrap(), b"good");
}

#[test]
fn what_a_dead_holder_was_writing_is_taken_as_it_is() {
    for terms in [FLOCK, LEASE] {
        let root = TempDir::new().unwrap();
        let old = attempt_now(root.path(), terms).unwrap();
        fs::write(old.work.join("x.part"), "good").unwrap();
        let before = fs::metadata(old.work.join("x.part")).unwrap().ino();
        if terms.lease_only {
            old.release().unwrap();
        } else {
            // As the kernel does when a process is killed.
            drop(old);
        }
        let new = attempt_now(root.path(), terms).unwrap();
        new.fence(&Stop::default()).unwrap();
        assert_eq!(fs::metadata(new.work.join("x.part")).unwrap().ino(), before);
    }
}

#[test]
fn a_holder_under_another_kernel_is_not_taken_for_dead() {
    let root = TempDir::new().unwrap();
    let old = attempt_now(root.path(), FLOCK).unwrap();
    let beat = old.work.join(beat::FILE);
    let text = fs::read_to_string(&beat).unwrap();
    let here = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    drop(old);
    fs::write(&beat, text.replace(here.trim(), "elsewhere")).unwrap();
    assert!(attempt_now(root.path(), FLOCK).is_none());
    fs::write(&beat, text).unwrap();
    assert!(attempt_now(root.path(), FLOCK).is_some());
}

#[test]
fn whoever_tries_at_the_same_time_gets_the_lock_or_waits_and_never_fails() {
    for terms in [[FLOCK; 4], [LEASE; 4], [FLOCK, LEASE, FLOCK, LEASE]] {
        let root = TempDir::new().unwrap();
        let holders = AtomicU32::new(0);
        let take_turns = |terms| {
            for _ in 0..TURNS {
                let mut tries = std::iter::repeat_with(|| attempt_now(root.path(), terms));
                let lock = tries.find_map(|taken| taken).unwrap();
                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                lock.fence(&Stop::default()).unwrap();
                holders.fetch_sub(1, Ordering::SeqCst);
                lock.release().unwrap();
            }
        };
        std::thread::scope(|threads| {
            for terms in terms {
                threads.spawn(move || take_turns(terms));
            }
        });
    }
}

#[test]
fn a_beat_is_there_at_every_moment_at_which_its_writer_may_die() {
    let work = TempDir::new().unwrap();
    let mut beat = Beat::first(Kernel::of(&File::open(work.path()).unwrap()));
    beat::write(work.path(), &beat, true).unwrap();
    let file = work.path().join(beat::FILE);
    let whole = fs::metadata(&file).unwrap().len();
    std::thread::scope(|threads| {
        let writer = threads.spawn(|| {
            for turn in 0..BEATS {
                beat.released = turn % 2 == 0;
                beat::write(work.path(), &beat, false).unwrap();
            }
        });
        while !writer.is_finished() {
            assert_eq!(fs::metadata(&file).unwrap().len(), whole);
        }
    });
    assert!(Beat::parse(beat::read(work.path()).as_deref()).is_some());
}

#[tokio::test]
async fn a_folder_without_a_token_is_called_damaged() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join(".llm-download")).unwrap();
    let terms = Terms { takeover_after: Duration::from_millis(40), lease_only: false };
    let taken = acquire(root.path(), terms, &Stop::default(), || false).await;
    assert!(matches!(taken, Err(Failure::NoToken { .. })));
}

#[test]
fn who_dies_while_making_our_folder_leaves_nothing_for_long() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join(".llm-download-0123")).unwrap();
    attempt_now(root.path(), FLOCK).unwrap().fence(&Stop::default()).unwrap();
    assert_eq!(list(root.path()).unwrap().len(), 1);
}
