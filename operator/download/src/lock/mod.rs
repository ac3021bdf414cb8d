//! One writer per volume, which may be shared by machines that do not know of each other.
//!
//! Everything rests on `rename`, which must be atomic, as it is on local file systems, NFS, CephFS
//! and SMB. In `.llm-download` there is always one *token*, a file named `free` or `held-ID`:
//!
//! ```text
//! free ──take──► held-A ──give back──► free
//!                  └──take over──► held-B        only if A is dead, or silent for too long
//! ```
//!
//! Taking renames the token *from the name that was seen*, so of all who try one succeeds. Who
//! holds it has a folder of its own, `work-ID`, made before the token is taken and never again.
//! Unfinished files are there, and whatever becomes visible is renamed out of there; what is
//! removed is renamed into there. Whoever takes over empties and removes all other such folders
//! before doing anything else: that is the fence. A holder that slept through it can neither
//! publish nor remove a thing, it only finds that its folder is gone.
//!
//! That a holder is dead is known in one of these ways, best first:
//!
//! - it said so when it gave the token back;
//! - it ran under this kernel, on this very mount (its beat says so), and `flock` on
//!   `.llm-download/lock`, which it held as long as it lived, is ours now;
//! - its beat, a counter in its folder, has not changed for `takeover_after` by our own monotonic
//!   clock. No clocks of two machines are compared. Such a holder may only be stopped, so its
//!   unfinished files are copied, lest it write to ours when it wakes.
//!
//! While `flock` is held by someone else nobody takes over. Where `flock` reaches only this
//! machine, or does not exist, the beat decides alone.

mod beat;
mod silence;
mod token;

#[cfg(test)]
mod tests;

use crate::{Failure, part::is_gone, stop::Stop, tally, volume};
use beat::{Beat, Heart, Kernel};
use rustix::{fs::FlockOperation, io::Errno};
use silence::Silence;
use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use token::Token;

/// How often a holder is heard of in the time after which it would be given up.
const BEATS_PER_TAKEOVER: u32 = 8;
/// How often the lock is tried at the least.
const TRY_EVERY_MAX: Duration = Duration::from_secs(1);
/// How often the folder of another writer may be filled again while it is emptied.
const FENCE_ROUNDS_MAX: usize = 100;
/// What the names of unfinished files end with.
const PART: &str = ".part";
/// What the folders of writers begin with.
const WORK: &str = "work-";

/// How the lock is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// After how long without a beat a holder is given up.
    pub(crate) takeover_after: Duration,
    /// Whether `flock` is not to be used.
    pub(crate) lease_only: bool,
}

/// Proof that we alone write to a volume, as long as its renames succeed.
#[derive(Debug)]
pub(crate) struct Lock {
    home: PathBuf,
    id: String,
    work: PathBuf,
    flock: Flock,
    heart: Heart,
    /// Whether someone else held it before, and may have done what we are about to do.
    pub(crate) waited: bool,
}

/// Where an unfinished file is. While someone may write to it, `flock` stays ours: no one takes
/// us for dead.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub(crate) path: PathBuf,
    _lock: Arc<Lock>,
}

/// What `flock` says.
#[derive(Debug)]
enum Flock {
    /// It is ours, and so is the kernel and mount.
    Ours { _file: File, here: Option<Kernel> },
    /// Someone lives who has it.
    Taken,
    /// It says nothing here.
    Unknown,
}

/// Takes the lock of a volume, when it can be had; or nothing, once `served` says that what we
/// want is there.
pub(crate) async fn acquire(
    root: &Path,
    terms: Terms,
    stop: &Stop,
    served: impl Fn() -> bool,
) -> Result<Option<Lock>, Failure> {
    let home = token::establish(root)?;
    let try_every = (terms.takeover_after / BEATS_PER_TAKEOVER).min(TRY_EVERY_MAX);
    let (mut silence, mut waited) = (Silence::default(), false);
    loop {
        if let Some(mut lock) = attempt(&home, terms, &mut silence, stop)? {
            lock.waited = waited;
            return Ok(Some(lock));
        }
        if silence.of_no_token(crate::clock::now()) >= terms.takeover_after {
            return Err(Failure::NoToken { folder: home });
        }
        if !waited {
            tally::note(format_args!("waiting for another process that writes to this volume"));
        }
        waited = true;
        stop.or(tokio::time::sleep(try_every)).await?;
        if served() {
            return Ok(None);
        }
    }
}

/// Takes the lock if it can be had now.
fn attempt(
    home: &Path,
    terms: Terms,
    silence: &mut Silence,
    stop: &Stop,
) -> Result<Option<Lock>, Failure> {
    let flock = if terms.lease_only { Flock::Unknown } else { Flock::attempt(home)? };
    let seen = token::read(home)?;
    let now = crate::clock::now();
    let may_take = match &seen {
        None => {
            silence.observe_no_token(now);
            return Ok(None);
        }
        Some(Token::Free) => true,
        Some(Token::Held(holder)) => {
            let beat = beat::read(&home.join(format!("{WORK}{holder}")));
            let silent = silence.observe(holder, beat.as_deref(), now) >= terms.takeover_after;
            silent || Beat::parse(beat.as_deref()).is_some_and(|beat| beat.is_of_dead(flock.here()))
        }
    };
    match (seen, flock) {
        (Some(seen), flock @ (Flock::Ours { .. } | Flock::Unknown)) if may_take => {
            Lock::take(home, &seen, flock, terms, stop)
        }
        _ => Ok(None),
    }
}

impl Lock {
    /// Takes the token from the state it was seen in, if it still is.
    fn take(
        home: &Path,
        seen: &Token,
        flock: Flock,
        terms: Terms,
        stop: &Stop,
    ) -> Result<Option<Self>, Failure> {
        let id = volume::random_name()?;
        let work = home.join(format!("{WORK}{id}"));
        fs::create_dir(&work).map_err(Failure::volume("making", &work))?;
        let beat = Beat::first(flock.here().cloned());
        match beat::write(&work, &beat, true) {
            // As below.
            Err(error) if is_gone(&error) => return Ok(None),
            written => written.map_err(Failure::volume("writing", &work))?,
        }
        let held = Token::Held(id.clone());
        if !token::exchange(home, seen, &held)? {
            remove(&work);
            return Ok(None);
        }
        // Someone who held the token between our two steps has taken our folder for one of a
        // dead holder.
        if beat::write(&work, &beat, false).is_err() {
            token::exchange(home, &held, &Token::Free)?;
            return Ok(None);
        }
        let every = terms.takeover_after / BEATS_PER_TAKEOVER;
        let heart =
            Heart::start(work.clone(), beat, every, terms.takeover_after / 2, stop.clone())?;
        Ok(Some(Self { home: home.to_owned(), id, work, flock, heart, waited: false }))
    }

    /// Empties and removes the folders of all who held the lock before; takes what they had not
    /// finished. Until this is done nothing on the volume may be trusted.
    pub(crate) fn fence(&self, stop: &Stop) -> Result<(), Failure> {
        for _ in 0..FENCE_ROUNDS_MAX {
            let others = self.others()?;
            if others.is_empty() {
                return token::sweep(&self.home);
            }
            for other in others {
                self.inherit(&other, stop)?;
            }
        }
        Err(Failure::LostLock)
    }

    fn others(&self) -> Result<Vec<PathBuf>, Failure> {
        let is_other = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            *path != self.work && name.is_some_and(|name| name.starts_with(WORK))
        };
        Ok(list(&self.home)?.into_iter().filter(is_other).collect())
    }

    fn inherit(&self, other: &Path, stop: &Stop) -> Result<(), Failure> {
        self.check()?;
        let beat = beat::read(other);
        let beat = Beat::parse(beat.as_deref());
        let dead = beat.is_some_and(|beat| beat.is_of_dead(self.flock.here()));
        for left in list(other)? {
            let Some(name) = part_name(&left) else { continue };
            let ours = self.work.join(name);
            if bytes(&ours) < bytes(&left) {
                // Without it we begin that file anew, which is worse but not wrong.
                let _ = if dead { fs::rename(&left, &ours) } else { copy(&left, &ours, stop) };
            }
            stop.check()?;
        }
        remove(other);
        Ok(())
    }

    /// Where an unfinished file is, or would be.
    pub(crate) fn unfinished(self: &Arc<Self>, name: &str) -> Unfinished {
        Unfinished { path: self.work.join(name), _lock: Arc::clone(self) }
    }

    /// How many bytes of an unfinished file there are.
    pub(crate) fn part_bytes(&self, name: &str) -> u64 {
        bytes(&self.work.join(name)).unwrap_or(0)
    }

    /// Removes unfinished files that nobody will finish.
    pub(crate) fn keep_parts(&self, wanted: impl Fn(&str) -> bool) -> Result<(), Failure> {
        for path in list(&self.work)? {
            if part_name(&path).is_some_and(|name| !wanted(name)) {
                fs::remove_file(&path).map_err(Failure::volume("removing", &path))?;
            }
        }
        Ok(())
    }

    /// Makes a finished file visible.
    pub(crate) fn publish(&self, part: &str, to: &Path) -> Result<(), Failure> {
        let from = self.work.join(part);
        fs::rename(&from, to).map_err(|error| self.lost_or("publishing", to)(error))
    }

    /// Makes a small document visible, whole or not at all.
    pub(crate) fn publish_document(&self, text: &[u8], to: &Path) -> Result<(), Failure> {
        let from = self.work.join("document");
        let written = File::create(&from).and_then(|mut file| {
            file.write_all(text)?;
            file.sync_all()
        });
        written.map_err(|error| self.lost_or("writing", to)(error))?;
        self.publish("document", to)
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), Failure> {
        let trash = self.work.join("trash");
        match fs::rename(path, &trash) {
            Err(error) if is_gone(&error) => self.check(),
            Err(error) => Err(self.lost_or("removing", path)(error)),
            Ok(()) => {
                fs::remove_file(&trash).map_err(|error| self.lost_or("removing", path)(error))
            }
        }
    }

    /// Passes if we were not taken for dead.
    fn check(&self) -> Result<(), Failure> {
        if beat::read(&self.work).is_some() { Ok(()) } else { Err(Failure::LostLock) }
    }

    fn lost_or(&self, action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
        let lost = self.check().is_err();
        let failure = Failure::volume(action, path);
        move |error| if lost { Failure::LostLock } else { failure(error) }
    }

    /// Gives the token back. Nothing of ours may write any more.
    pub(crate) fn release(self) -> Result<(), Failure> {
        let Self { home, id, work, flock, heart, .. } = self;
        let mut beat = heart.stop();
        beat.released = true;
        beat::write(&work, &beat, false).map_err(Failure::volume("writing", &work))?;
        // Whoever has read that beat may have the token already.
        let _given = token::exchange(&home, &Token::Held(id), &Token::Free)?;
        drop(flock);
        if !list(&work)?.iter().any(|path| part_name(path).is_some()) {
            remove(&work);
        }
        Ok(())
    }
}

impl Flock {
    fn attempt(home: &Path) -> Result<Self, Failure> {
        let path = home.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(Failure::volume("opening", &path))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let here = Kernel::of(&file);
                Ok(Self::Ours { _file: file, here })
            }
            Err(Errno::WOULDBLOCK) => Ok(Self::Taken),
            Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Self::Unknown),
            Err(error) => Err(Failure::volume("locking", &path)(error.into())),
        }
    }

    /// The kernel and mount where `flock` is ours.
    fn here(&self) -> Option<&Kernel> {
        match self {
            Self::Ours { here, .. } => here.as_ref(),
            Self::Taken | Self::Unknown => None,
        }
    }
}

/// The name of an unfinished file.
fn part_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str().filter(|name| name.ends_with(PART))
}

/// How many bytes a file has; less than an empty one if it is not there.
fn bytes(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.len())
}

/// What is in a folder; nothing if it is not there.
fn list(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    match fs::read_dir(folder) {
        Err(error) if is_gone(&error) => Ok(Vec::new()),
        listed => listed
            .and_then(|listed| listed.map(|item| item.map(|item| item.path())).collect())
            .map_err(Failure::volume("reading", folder)),
    }
}

/// Removes a folder of a writer, its beat last. What cannot be removed is found again.
fn remove(work: &Path) {
    for path in list(work).unwrap_or_default() {
        if !path.ends_with(beat::FILE) {
            let _ = fs::remove_file(path);
        }
    }
    let _ = fs::remove_file(work.join(beat::FILE));
    let _ = fs::remove_dir(work);
}

/// Copies a file whose writer may wake up.
fn copy(from: &Path, to: &Path, stop: &Stop) -> std::io::Result<()> {
    let mut copy = File::create(to)?;
    let copied = File::open(from).is_ok_and(|mut source| {
        let write = |bytes: &[u8]| copy.write_all(bytes).map_err(Failure::volume("copying", to));
        crate::part::read(&mut source, from, stop, write).is_ok()
    });
    if copied { Ok(()) } else { fs::remove_file(to) }
}
