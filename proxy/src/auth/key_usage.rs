//! Which keys were used, for the operator to know; each is noted once an hour.

use llm_contract::KeyId;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// The seconds of an hour.
pub const HOUR: i64 = 3600;
/// Keys that wait to be reported; without an operator nobody takes them, and more are forgotten.
const WAITING_MAX: usize = 16 * 1024;

/// Keys that were used and of which nobody has been told yet, with the hour in seconds of Unix
/// time.
#[derive(Debug, Default)]
pub struct Uses(Mutex<BTreeMap<KeyId, i64>>);

impl Uses {
    /// Notes that a key was used in this hour.
    pub fn note(&self, id: KeyId, hour: i64) {
        let mut waiting = self.0.lock();
        if waiting.len() < WAITING_MAX || waiting.contains_key(&id) {
            waiting.insert(id, hour);
        }
    }

    /// Takes some of them, at most so many.
    pub fn take(&self, max: usize) -> Vec<(KeyId, i64)> {
        let mut waiting = self.0.lock();
        std::iter::from_fn(|| waiting.pop_first()).take(max).collect()
    }
}
