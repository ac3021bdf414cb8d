//! Knowing a key again without hashing it anew.
//!
//! A key's argon2 hash is computed once per process. Afterwards its record holds a keyed digest
//! of the key in clear, which takes a hundred nanoseconds to compare. The digest lives in the
//! record's own entry: a changed or revoked record is another entry (or none), so that a
//! verification of the old one that is still under way cannot put it back in force.

use crate::{
    auth::key_usage::{HOUR, Uses},
    limit::concurrency::ConcurrencyLimit,
};
use aws_lc_rs::hmac;
use jiff::Timestamp;
use llm_contract::{KeyRecord, Pepper, SecretKey};
use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

/// Verifications that may wait for a thread; a flood is refused beyond.
const WAITING_MAX: usize = 256;
/// Wrong keys that are remembered, so that repeating one costs nothing.
const REFUSED_MAX: usize = 4096;
/// Processors per verification that may run at a time.
const PROCESSORS_PER_VERIFICATION: usize = 2;

type Digest = [u8; 32];

/// A key record in force.
#[derive(Debug)]
pub struct KeyEntry {
    /// What is known of the key.
    pub record: KeyRecord,
    /// The requests that run with it.
    pub running: ConcurrencyLimit,
    verified: OnceLock<Digest>,
    /// In which hour since 1970 it was last used.
    used: AtomicI64,
}

/// Verifies keys against their records.
pub struct Keyring {
    /// Which keys were used.
    pub uses: Uses,
    mac: hmac::Key,
    pepper: Option<Pepper>,
    threads: Arc<Semaphore>,
    waiting: AtomicUsize,
    refused: Mutex<Recent>,
}

/// Why a key was not verified.
#[derive(Debug, PartialEq, Eq)]
pub enum NotVerified {
    /// It is another key than the one the record was made for.
    Wrong,
    /// Too many verifications wait.
    Busy,
}

#[derive(Default)]
struct Recent {
    order: VecDeque<Digest>,
    known: HashSet<Digest>,
}

impl KeyEntry {
    /// An entry for a record, going on where the previous one was if nothing changed.
    pub fn new(record: KeyRecord, previous: Option<&Arc<Self>>) -> Arc<Self> {
        match previous {
            Some(entry) if entry.record == record => Arc::clone(entry),
            Some(entry) => Arc::new(Self {
                record,
                running: entry.running.clone(),
                verified: OnceLock::new(),
                used: AtomicI64::new(0),
            }),
            None => Arc::new(Self {
                record,
                running: ConcurrencyLimit::default(),
                verified: OnceLock::new(),
                used: AtomicI64::new(0),
            }),
        }
    }
}

impl Keyring {
    /// A keyring whose digests nobody outside this process can compute.
    pub fn new(process_secret: &[u8; 64], pepper: Option<Pepper>) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (processors / PROCESSORS_PER_VERIFICATION).max(1);
        Self {
            uses: Uses::default(),
            mac: hmac::Key::new(hmac::HMAC_SHA256, process_secret),
            pepper,
            threads: Arc::new(Semaphore::new(threads)),
            waiting: AtomicUsize::new(0),
            refused: Mutex::default(),
        }
    }

    /// Whether this is the key the record was made for.
    ///
    /// # Errors
    /// [`NotVerified`].
    pub async fn verify(&self, key: &SecretKey, entry: &Arc<KeyEntry>) -> Result<(), NotVerified> {
        let digest = self.digest(key.secret());
        match self.remember(&digest, entry) {
            Some(true) => Ok(()),
            Some(false) => Err(NotVerified::Wrong),
            None => Box::pin(self.hash(key, digest, entry)).await,
        }
    }

    /// Notes that a key is used now. Costs nothing but in the first request of an hour.
    pub fn note_use(&self, entry: &KeyEntry, now: Timestamp) {
        let hour = now.as_second().div_euclid(HOUR);
        let known = entry.used.load(Ordering::Relaxed) == hour;
        if !known && entry.used.swap(hour, Ordering::Relaxed) != hour {
            self.uses.note(entry.record.id, hour * HOUR);
        }
    }

    fn digest(&self, bytes: &[u8]) -> Digest {
        let tag = hmac::sign(&self.mac, bytes);
        let mut digest = Digest::default();
        for (to, from) in digest.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        digest
    }

    /// What is known without hashing. A record has one key: once it is known, every other is
    /// wrong.
    fn remember(&self, digest: &Digest, entry: &KeyEntry) -> Option<bool> {
        if let Some(verified) = entry.verified.get() {
            return Some(verified.ct_eq(digest).into());
        }
        let refusal = self.refusal(digest, entry);
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.known.contains(&refusal).then_some(false)
    }

    /// Stands for a key being wrong for a record. Rotation may make another record of the same
    /// id, for which the key is right.
    fn refusal(&self, digest: &Digest, entry: &KeyEntry) -> Digest {
        self.digest(&[digest, entry.record.hash.to_string().as_bytes()].concat())
    }

    async fn hash(
        &self,
        key: &SecretKey,
        digest: Digest,
        entry: &Arc<KeyEntry>,
    ) -> Result<(), NotVerified> {
        let _waiting = Waiting::enter(&self.waiting).ok_or(NotVerified::Busy)?;
        let Ok(permit) = Arc::clone(&self.threads).acquire_owned().await else {
            return Err(NotVerified::Busy);
        };
        // Somebody else may have verified it while this one waited.
        if let Some(known) = self.remember(&digest, entry) {
            return if known { Ok(()) } else { Err(NotVerified::Wrong) };
        }
        let (key, hash, pepper) = (key.clone(), entry.record.hash.clone(), self.pepper.clone());
        let matches = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            hash.matches(&key, pepper.as_ref())
        });
        match matches.await {
            Ok(true) => {
                let _ = entry.verified.set(digest);
                Ok(())
            }
            Ok(false) => {
                let refusal = self.refusal(&digest, entry);
                self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(refusal);
                Err(NotVerified::Wrong)
            }
            Err(_stopped) => Err(NotVerified::Busy),
        }
    }
}

impl Recent {
    fn insert(&mut self, digest: Digest) {
        if self.known.insert(digest) {
            self.order.push_back(digest);
        }
        if REFUSED_MAX < self.order.len()
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize) -> Option<Self> {
        let enter = |count| (count < WAITING_MAX).then_some(count + 1);
        waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).ok().map(|_| Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm_contract::{Hashing, KeyHash, KeyId, Owner};

    fn key(secret: u8) -> SecretKey {
        SecretKey::assemble(&KeyId::parse("abcdefgh2345").unwrap(), &[secret; 43])
    }

    fn record(secret: u8) -> KeyRecord {
        KeyRecord {
            id: key(secret).id(),
            client_id: "laptop".into(),
            owner: Owner { name: "me".into(), groups: Vec::new() },
            hash: KeyHash::of(&key(secret), Hashing::MINTED, [7; 16], None).unwrap(),
            models: Vec::new(),
            resources: Vec::new(),
            not_before: None,
            expires_at: None,
            suspended: false,
            limits: llm_contract::RequestLimits::default(),
        }
    }

    #[tokio::test]
    async fn the_right_key_is_known_again_and_every_other_refused() {
        let keyring = Keyring::new(&[1; 64], None);
        let entry = KeyEntry::new(record(b'x'), None);
        assert_eq!(keyring.verify(&key(b'y'), &entry).await, Err(NotVerified::Wrong));
        assert_eq!(keyring.verify(&key(b'x'), &entry).await, Ok(()));
        assert!(entry.verified.get().is_some());
        assert_eq!(keyring.verify(&key(b'x'), &entry).await, Ok(()));
        assert_eq!(keyring.verify(&key(b'y'), &entry).await, Err(NotVerified::Wrong));
    }

    #[tokio::test]
    async fn a_changed_record_is_verified_anew_and_an_unchanged_one_is_not() {
        let keyring = Keyring::new(&[1; 64], None);
        let entry = KeyEntry::new(record(b'x'), None);
        keyring.verify(&key(b'x'), &entry).await.unwrap();
        let same = KeyEntry::new(record(b'x'), Some(&entry));
        assert!(same.verified.get().is_some());
        let changed = KeyEntry::new(record(b'y'), Some(&entry));
        assert!(changed.verified.get().is_none());
        assert_eq!(keyring.verify(&key(b'x'), &changed).await, Err(NotVerified::Wrong));
    }

    #[tokio::test]
    async fn a_key_that_came_before_its_record_is_right_when_the_record_comes() {
        let keyring = Keyring::new(&[1; 64], None);
        let entry = KeyEntry::new(record(b'x'), None);
        assert_eq!(keyring.verify(&key(b'y'), &entry).await, Err(NotVerified::Wrong));
        let rotated = KeyEntry::new(record(b'y'), Some(&entry));
        assert_eq!(keyring.verify(&key(b'y'), &rotated).await, Ok(()));
    }

    #[test]
    fn the_memory_of_wrong_keys_is_bounded() {
        let mut recent = Recent::default();
        for number in 0..REFUSED_MAX + 10 {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            recent.insert(digest);
        }
        assert_eq!((recent.order.len(), recent.known.len()), (REFUSED_MAX, REFUSED_MAX));
    }
}
