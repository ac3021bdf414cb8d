//! When keys were last used, as proxies report it.

use jiff::{SignedDuration, Timestamp};
use llm_contract::{KeyId, push::wire};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use tokio::sync::Notify;

/// Keys of one report.
const REPORT_KEYS_MAX: usize = 1024;
/// Keys that wait for [`KeyUsage::take`]; the use of further ones is dropped.
const PENDING_MAX: usize = 128 * 1024;
/// How far the clock of a proxy may be ahead of ours.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// Keys used since they were last taken.
#[derive(Debug, Default)]
pub struct KeyUsage {
    pending: Mutex<BTreeMap<KeyId, Timestamp>>,
    added: Notify,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidKeyUsage {
    #[error("a report has at most {REPORT_KEYS_MAX} keys")]
    TooMany,
    #[error("a key id has 12 characters of a-z and 2-7")]
    Id,
    #[error("a key was used in the future")]
    Time,
}

impl KeyUsage {
    /// Records all uses of a report, or none if one is invalid.
    pub(crate) fn record(
        &self,
        report: wire::KeyUsage,
        now: Timestamp,
    ) -> Result<(), InvalidKeyUsage> {
        if REPORT_KEYS_MAX < report.keys.len() {
            return Err(InvalidKeyUsage::TooMany);
        }
        let parse = |wire::KeyUse { id, hour }: wire::KeyUse| {
            let id = KeyId::parse(&id).map_err(|_invalid| InvalidKeyUsage::Id)?;
            let hour = Timestamp::from_second(hour).map_err(|_range| InvalidKeyUsage::Time)?;
            let is_past = hour.duration_since(now) <= SKEW;
            if is_past { Ok((id, hour)) } else { Err(InvalidKeyUsage::Time) }
        };
        let uses = report.keys.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let mut pending = self.pending.lock();
        for (id, hour) in uses {
            if let Some(last) = pending.get_mut(&id) {
                *last = hour.max(*last);
            } else if pending.len() < PENDING_MAX {
                pending.insert(id, hour);
            }
        }
        self.added.notify_one();
        Ok(())
    }

    /// Waits for keys that were used, and takes them with the hour of their last use. For a single
    /// consumer.
    pub async fn take(&self) -> BTreeMap<KeyId, Timestamp> {
        loop {
            let added = self.added.notified();
            let pending = std::mem::take(&mut *self.pending.lock());
            if !pending.is_empty() {
                return pending;
            }
            added.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(id: &str, hour: i64) -> wire::KeyUsage {
        wire::KeyUsage { keys: vec![wire::KeyUse { id: id.into(), hour }] }
    }

    #[tokio::test]
    async fn of_several_uses_the_last_counts() {
        let (usage, now) = (KeyUsage::default(), Timestamp::from_second(100_000).unwrap());
        for hour in [7200, 10_800, 3600] {
            usage.record(used("abcdefgh2345", hour), now).unwrap();
        }
        let taken: Vec<_> = usage.take().await.into_values().collect();
        assert_eq!(taken, [Timestamp::from_second(10_800).unwrap()]);
    }

    #[test]
    fn an_invalid_report_is_rejected_as_a_whole() {
        let (usage, now) = (KeyUsage::default(), Timestamp::from_second(100_000).unwrap());
        let many = vec![wire::KeyUse { id: "abcdefgh2345".into(), hour: 0 }; REPORT_KEYS_MAX + 1];
        for (report, invalid) in [
            (wire::KeyUsage { keys: many }, InvalidKeyUsage::TooMany),
            (used("../etc", 0), InvalidKeyUsage::Id),
            (used("abcdefgh2345", 200_000), InvalidKeyUsage::Time),
            (used("abcdefgh2345", i64::MAX), InvalidKeyUsage::Time),
        ] {
            assert_eq!(usage.record(report, now), Err(invalid));
        }
        assert!(usage.pending.lock().is_empty());
    }
}
