//! Which keys were used: reported to the operator, once an hour for each key.

use llm_contract::KeyId;
use quick_cache::sync::Cache;

pub const HOUR_SECONDS: i64 = 3600;
/// Keys that wait to be reported; without an operator they stay, and more push others out.
const PENDING_MAX: usize = 16 * 1024;

/// Keys used and not yet reported, with the hour of use in seconds since 1970.
#[derive(Debug)]
pub struct KeyUsage(Cache<KeyId, i64>);

impl Default for KeyUsage {
    fn default() -> Self {
        Self(Cache::new(PENDING_MAX))
    }
}

impl KeyUsage {
    pub fn record(&self, id: KeyId, hour: i64) {
        self.0.insert(id, hour);
    }

    /// Removes at most `max` of the pending keys.
    pub fn take(&self, max: usize) -> Vec<(KeyId, i64)> {
        let ids: Vec<_> = self.0.iter().map(|(id, _)| id).take(max).collect();
        ids.iter().filter_map(|id| self.0.remove(id)).collect()
    }
}
