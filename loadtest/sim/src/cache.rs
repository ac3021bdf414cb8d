//! The KV cache: blocks of tokens, shared by prompts that begin alike.
//!
//! A block is known by the hash of all tokens up to its end, so a hit is always a prefix.
//! Blocks that no request holds stay until their room is needed; the least recently
//! used goes first. Requests may hold more blocks than there are: vLLM would preempt,
//! this only reports a full cache.

use std::collections::{BTreeMap, HashMap};

use crate::text::fold;

/// All blocks of one server.
#[derive(Debug)]
pub(crate) struct Cache {
    capacity: usize,
    block_size: usize,
    blocks: HashMap<u64, Block>,
    /// Blocks that no request holds, the least recently used first.
    idle: BTreeMap<u64, u64>,
    /// Blocks of requests that cannot be shared: the end of a prompt, the answer.
    private: usize,
    ticks: u64,
}

#[derive(Debug)]
struct Block {
    holders: usize,
    used: u64,
}

/// What a prompt found in the cache and added to it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheHit {
    /// Tokens that were in the cache.
    pub(crate) cached: usize,
    /// Tokens that are in the cache from now on.
    pub(crate) created: usize,
    /// The shared blocks the request holds until [`Cache::release`].
    pub(crate) held: Vec<u64>,
}

impl Cache {
    /// `blocks` counts the one that is kept back.
    pub(crate) fn new(blocks: usize, block_size: usize) -> Self {
        Self {
            capacity: blocks.saturating_sub(1).max(1),
            block_size: block_size.max(1),
            blocks: HashMap::new(),
            idle: BTreeMap::new(),
            private: 0,
            ticks: 0,
        }
    }

    /// Holds the whole blocks of a prompt. The last token is always computed, so a
    /// prompt that is all in the cache still misses its last block.
    pub(crate) fn hold(&mut self, prompt: &[u64]) -> CacheHit {
        let hit_max = prompt.len().saturating_sub(1) / self.block_size;
        let mut found = CacheHit::default();
        let mut unbroken = true;
        for (at, hash) in chain(prompt, self.block_size).enumerate() {
            let known = self.blocks.contains_key(&hash);
            unbroken &= known && at < hit_max;
            if unbroken {
                found.cached += self.block_size;
            }
            if !known {
                found.created += self.block_size;
            }
            if self.take(hash) {
                found.held.push(hash);
            }
        }
        found
    }

    /// Lets go of blocks; they stay for the next prompt until their room is needed.
    pub(crate) fn release(&mut self, held: &[u64]) {
        for hash in held {
            let Some(block) = self.blocks.get_mut(hash) else { continue };
            block.holders = block.holders.saturating_sub(1);
            if block.holders == 0 {
                self.idle.insert(block.used, *hash);
            }
        }
    }

    /// Keeps the blocks of a finished exchange, so that the next turn of a chat finds them.
    pub(crate) fn keep(&mut self, tokens: &[u64]) {
        let held: Vec<u64> =
            chain(tokens, self.block_size).filter(|hash| self.take(*hash)).collect();
        self.release(&held);
    }

    /// Changes the number of blocks that requests hold alone.
    pub(crate) fn set_private(&mut self, before: usize, after: usize) {
        self.private = self.private.saturating_sub(before).saturating_add(after);
    }

    /// Blocks that requests hold, and blocks there are.
    pub(crate) fn usage(&self) -> (usize, usize) {
        let held = self.blocks.len() - self.idle.len() + self.private;
        (held.min(self.capacity), self.capacity)
    }

    /// Holds one block, making room for it; false if there is none to be made.
    fn take(&mut self, hash: u64) -> bool {
        self.ticks += 1;
        let used = self.ticks;
        if let Some(block) = self.blocks.get_mut(&hash) {
            if block.holders == 0 {
                self.idle.remove(&block.used);
            }
            block.holders += 1;
            block.used = used;
            return true;
        }
        if self.blocks.len() + self.private >= self.capacity {
            let Some((_, oldest)) = self.idle.pop_first() else { return false };
            self.blocks.remove(&oldest);
        }
        self.blocks.insert(hash, Block { holders: 1, used });
        true
    }
}

fn chain(tokens: &[u64], block_size: usize) -> impl Iterator<Item = u64> {
    tokens.chunks_exact(block_size).scan(0, |hash, block| {
        *hash = fold(*hash, block);
        Some(*hash)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prompt(tokens: u64) -> Vec<u64> {
        (0..tokens).collect()
    }

    #[test]
    fn a_prompt_hits_in_whole_blocks() {
        let mut cache = Cache::new(1024, 128);
        let first = cache.hold(&prompt(360));
        assert_eq!((first.cached, first.created), (0, 256));
        let second = cache.hold(&prompt(360));
        assert_eq!((second.cached, second.created), (256, 0));
    }

    #[test]
    fn the_last_token_is_always_computed() {
        let mut cache = Cache::new(1024, 128);
        cache.hold(&prompt(256));
        assert_eq!(cache.hold(&prompt(256)).cached, 128);
    }

    #[test]
    fn a_prompt_that_differs_in_its_first_token_hits_nothing() {
        let mut cache = Cache::new(1024, 4);
        cache.hold(&prompt(64));
        let mut other = prompt(64);
        other[0] = 99;
        assert_eq!(cache.hold(&other).cached, 0);
    }

    #[test]
    fn the_least_recently_used_block_goes_first() {
        let mut cache = Cache::new(3, 1);
        for tokens in [[1], [2], [1], [3]] {
            let found = cache.hold(&tokens);
            cache.release(&found.held);
        }
        assert_eq!(cache.hold(&[1, 9]).cached, 1, "used again, so it stayed");
        assert_eq!(cache.hold(&[2, 9]).cached, 0, "made room");
    }

    #[test]
    fn usage_counts_what_requests_hold_and_not_what_idles() {
        let mut cache = Cache::new(1024, 128);
        let found = cache.hold(&prompt(256));
        cache.set_private(0, 1);
        assert_eq!(cache.usage(), (3, 1023));
        cache.set_private(1, 0);
        cache.release(&found.held);
        assert_eq!(cache.usage(), (0, 1023));
    }

    #[test]
    fn requests_that_hold_everything_leave_no_room() {
        let mut cache = Cache::new(2, 1);
        assert_eq!(cache.hold(&[1]).held.len(), 1);
        assert_eq!(cache.hold(&[2]).held.len(), 0);
        assert_eq!(cache.usage(), (1, 1));
    }

    proptest! {
        #[test]
        fn whatever_comes_and_goes_the_cache_keeps_its_size_and_forgets_no_holder(
            prompts in proptest::collection::vec((0..4_u64, 0..40_usize, any::<bool>()), 0..30),
        ) {
            let mut cache = Cache::new(9, 4);
            let mut holding = Vec::new();
            for (start, length, stays) in prompts {
                let tokens: Vec<u64> = (start..).take(length).collect();
                let found = cache.hold(&tokens);
                prop_assert!(found.cached < tokens.len().max(1));
                prop_assert!(cache.blocks.len() <= 8);
                if stays {
                    holding.push(found.held);
                } else {
                    cache.release(&found.held);
                }
            }
            for held in holding {
                cache.release(&held);
            }
            prop_assert_eq!(cache.usage().0, 0);
        }
    }
}
