//! Verifies API keys against their records, hashing each key only once.
//!
//! A key's argon2 hash is computed once per process. Afterwards its record holds a keyed digest
//! of the key in clear, which takes a hundred nanoseconds to compare. The digest lives in the
//! record's own entry: a changed or revoked record is another entry (or none), so that a
//! verification of the old one that is still under way cannot put it back in force.

use crate::{
    auth::key_usage::{HOUR_SECONDS, KeyUsage},
    limit::concurrency::ConcurrencyLimit,
};
use jiff::Timestamp;
use llm_contract::{KeyRecord, Pepper, SecretKey};
use quick_cache::sync::Cache;
use ring::hmac;
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicI64, Ordering},
};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

/// Verifications that may wait for a thread.
const WAITING_MAX: usize = 256;
/// Wrong keys that are cached, so that repeating one costs nothing.
const REJECTED_MAX: usize = 4096;
/// Processors per verification that may run at a time.
const PROCESSORS_PER_VERIFICATION: usize = 2;

type Digest = [u8; 32];

/// A key record in force.
#[derive(Debug)]
pub struct KeyEntry {
    pub record: KeyRecord,
    pub running: ConcurrencyLimit,
    verified: OnceLock<Digest>,
    /// The hour since 1970 in which the key was last used.
    last_used: AtomicI64,
}

pub struct KeyVerifier {
    pub usage: KeyUsage,
    mac: hmac::Key,
    pepper: Option<Pepper>,
    threads: Arc<Semaphore>,
    queue: Semaphore,
    /// Digests of a key and the hash it did not match.
    rejected: Cache<Digest, ()>,
}

/// Why a key was not verified.
#[derive(Debug, PartialEq, Eq)]
pub enum VerifyError {
    WrongKey,
    Busy,
}

impl KeyEntry {
    /// The previous entry if its record did not change, else a new one.
    pub fn new(record: KeyRecord, previous: Option<&Arc<Self>>) -> Arc<Self> {
        match previous {
            Some(entry) if entry.record == record => Arc::clone(entry),
            _ => Arc::new(Self {
                record,
                running: previous.map(|entry| entry.running.clone()).unwrap_or_default(),
                verified: OnceLock::new(),
                last_used: AtomicI64::new(0),
            }),
        }
    }
}

impl KeyVerifier {
    /// A verifier whose digests cannot be computed outside this process.
    pub fn new(process_secret: &[u8; 64], pepper: Option<Pepper>) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (processors / PROCESSORS_PER_VERIFICATION).max(1);
        Self {
            usage: KeyUsage::default(),
            mac: hmac::Key::new(hmac::HMAC_SHA256, process_secret),
            pepper,
            threads: Arc::new(Semaphore::new(threads)),
            queue: Semaphore::new(WAITING_MAX),
            rejected: Cache::new(REJECTED_MAX),
        }
    }

    pub async fn verify(&self, key: &SecretKey, entry: &Arc<KeyEntry>) -> Result<(), VerifyError> {
        let digest = self.digest(key.secret());
        match self.cached(&digest, entry) {
            Some(verdict) => verdict,
            None => Box::pin(self.verify_hash(key, digest, entry)).await,
        }
    }

    /// Records that a key was used. Costs nothing but in the first request of an hour.
    pub fn record_key_use(&self, entry: &KeyEntry, now: Timestamp) {
        let hour = now.as_second().div_euclid(HOUR_SECONDS);
        let is_known = entry.last_used.load(Ordering::Relaxed) == hour;
        if !is_known && entry.last_used.swap(hour, Ordering::Relaxed) != hour {
            self.usage.record(entry.record.id, hour * HOUR_SECONDS);
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

    /// The verdict known without hashing. A record has one key: once it is known, every other is
    /// wrong.
    fn cached(&self, digest: &Digest, entry: &KeyEntry) -> Option<Result<(), VerifyError>> {
        if let Some(verified) = entry.verified.get() {
            let matches: bool = verified.ct_eq(digest).into();
            return Some(if matches { Ok(()) } else { Err(VerifyError::WrongKey) });
        }
        self.rejected.get(&self.mismatch(digest, entry)).map(|()| Err(VerifyError::WrongKey))
    }

    /// Stands for a key being wrong for a record. Rotation may make another record of the same
    /// id, for which the key is right.
    fn mismatch(&self, digest: &Digest, entry: &KeyEntry) -> Digest {
        self.digest(&[digest, entry.record.hash.to_string().as_bytes()].concat())
    }

    async fn verify_hash(
        &self,
        key: &SecretKey,
        digest: Digest,
        entry: &Arc<KeyEntry>,
    ) -> Result<(), VerifyError> {
        let _slot = self.queue.try_acquire().map_err(|_full| VerifyError::Busy)?;
        let Ok(permit) = Arc::clone(&self.threads).acquire_owned().await else {
            return Err(VerifyError::Busy);
        };
        // Another request may have verified it while this one waited.
        if let Some(verdict) = self.cached(&digest, entry) {
            return verdict;
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
                self.rejected.insert(self.mismatch(&digest, entry), ());
                Err(VerifyError::WrongKey)
            }
            Err(_stopped) => Err(VerifyError::Busy),
        }
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
    async fn the_right_key_is_cached_and_every_other_rejected() {
        let verifier = KeyVerifier::new(&[1; 64], None);
        let entry = KeyEntry::new(record(b'x'), None);
        assert_eq!(verifier.verify(&key(b'y'), &entry).await, Err(VerifyError::WrongKey));
        assert_eq!(verifier.verify(&key(b'x'), &entry).await, Ok(()));
        assert!(entry.verified.get().is_some());
        assert_eq!(verifier.verify(&key(b'x'), &entry).await, Ok(()));
        assert_eq!(verifier.verify(&key(b'y'), &entry).await, Err(VerifyError::WrongKey));
    }

    #[tokio::test]
    async fn a_changed_record_is_verified_again_and_an_unchanged_one_is_not() {
        let verifier = KeyVerifier::new(&[1; 64], None);
        let entry = KeyEntry::new(record(b'x'), None);
        verifier.verify(&key(b'x'), &entry).await.unwrap();
        let same = KeyEntry::new(record(b'x'), Some(&entry));
        assert!(same.verified.get().is_some());
        let changed = KeyEntry::new(record(b'y'), Some(&entry));
        assert!(changed.verified.get().is_none());
        assert_eq!(verifier.verify(&key(b'x'), &changed).await, Err(VerifyError::WrongKey));
    }

    #[tokio::test]
    async fn a_key_rejected_before_its_rotation_is_accepted_after_it() {
        let verifier = KeyVerifier::new(&[1; 64], None);
        let entry = KeyEntry::new(record(b'x'), None);
        assert_eq!(verifier.verify(&key(b'y'), &entry).await, Err(VerifyError::WrongKey));
        let rotated = KeyEntry::new(record(b'y'), Some(&entry));
        assert_eq!(verifier.verify(&key(b'y'), &rotated).await, Ok(()));
    }

    #[test]
    fn the_cache_of_wrong_keys_is_bounded() {
        let verifier = KeyVerifier::new(&[1; 64], None);
        for number in 0..REJECTED_MAX + 10 {
            verifier.rejected.insert(verifier.digest(&number.to_be_bytes()), ());
        }
        assert!(verifier.rejected.len() <= REJECTED_MAX, "{}", verifier.rejected.len());
        assert!(REJECTED_MAX / 2 < verifier.rejected.len(), "{}", verifier.rejected.len());
    }
}
