//! Tokens that were verified before, so that a repeated one costs a hash instead of a signature.
//!
//! An entry is found by the SHA-256 of the token, never by the token. It holds its key weakly: when
//! the key leaves the issuer's set, or the issuer leaves the configuration, nobody holds the key
//! any more and the entry is dead. So nothing has to be swept, and a verification that was in
//! flight while the key went cannot bring it back.

use super::{claims::Verified, jwk::Key};
use aws_lc_rs::digest;
use hashbrown::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The number of shards, so that threads seldom wait for each other.
const SHARDS: usize = 16;

/// A bounded map of verified tokens; the clock algorithm decides which one makes room.
#[derive(Debug)]
pub(super) struct Cache {
    shards: [Mutex<Shard>; SHARDS],
    shard_entries_max: usize,
}

/// Names a token without being one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenDigest([u8; digest::SHA256_OUTPUT_LEN]);

#[derive(Debug, Default)]
struct Shard {
    /// Where in `slots` a digest is.
    index: HashMap<TokenDigest, usize>,
    slots: Vec<Slot>,
    hand: usize,
}

#[derive(Debug)]
struct Slot {
    digest: TokenDigest,
    verified: Arc<Verified>,
    key: Weak<Key>,
    /// Looked up since the hand last passed.
    used: bool,
}

impl TokenDigest {
    /// The digest of a token.
    pub(super) fn of(token: &str) -> Self {
        let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
        let digest = digest::digest(&digest::SHA256, token.as_bytes());
        bytes.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }
}

impl Cache {
    /// A cache of about `entries_max` entries, at least one in each shard.
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            shard_entries_max: entries_max.div_ceil(SHARDS).max(1),
        }
    }

    /// Finds what was verified, if it still counts at `now`, in seconds since 1970.
    pub(super) fn get(&self, digest: &TokenDigest, now: u64) -> Option<Arc<Verified>> {
        let mut shard = self.shard(digest)?.lock().unwrap_or_else(PoisonError::into_inner);
        let Shard { index, slots, .. } = &mut *shard;
        let slot = slots.get_mut(*index.get(digest)?)?;
        if slot.is_dead(now) {
            return None;
        }
        slot.used = true;
        Some(Arc::clone(&slot.verified))
    }

    /// Remembers what `key` verified.
    pub(super) fn put(
        &self,
        digest: TokenDigest,
        verified: Arc<Verified>,
        key: &Arc<Key>,
        now: u64,
    ) {
        let Some(shard) = self.shard(&digest) else { return };
        let slot = Slot { digest, verified, key: Arc::downgrade(key), used: false };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.put(slot, self.shard_entries_max, now);
    }

    fn shard(&self, TokenDigest(bytes): &TokenDigest) -> Option<&Mutex<Shard>> {
        self.shards.get(usize::from(*bytes.first()?) % SHARDS)
    }
}

impl Shard {
    fn put(&mut self, slot: Slot, entries_max: usize, now: u64) {
        let known = self.index.get(&slot.digest).copied();
        let place = match known {
            Some(place) => place,
            None if self.slots.len() < entries_max => self.slots.len(),
            None => self.make_room(now),
        };
        match self.slots.get_mut(place) {
            Some(old) => {
                self.index.remove(&old.digest);
                self.index.insert(slot.digest, place);
                *old = slot;
            }
            None => {
                self.index.insert(slot.digest, place);
                self.slots.push(slot);
            }
        }
    }

    /// Moves the hand to the next slot that is dead or was not used for a turn.
    /// After one turn every slot is unused, so this ends within two.
    fn make_room(&mut self, now: u64) -> usize {
        loop {
            let place = self.hand;
            self.hand = (place + 1) % self.slots.len().max(1);
            match self.slots.get_mut(place) {
                Some(slot) if slot.used && !slot.is_dead(now) => slot.used = false,
                Some(_) | None => return place,
            }
        }
    }
}

impl Slot {
    fn is_dead(&self, now: u64) -> bool {
        self.verified.expires_at() <= now || self.key.strong_count() == 0
    }
}

#[cfg(test)]
impl Cache {
    /// The number of entries held, dead ones included.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().slots.len()).sum()
    }
}
