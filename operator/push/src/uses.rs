//! Which keys were used, as proxies report it.

use jiff::{SignedDuration, Timestamp};
use llm_contract::{KeyId, push::wire};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use tokio::sync::Notify;

/// Keys of one message.
pub(crate) const KEYS_MAX: usize = 1024;
/// Keys that are remembered until somebody takes them; of more, the use is not known.
const HELD_MAX: usize = 128 * 1024;
/// How far the clock of a proxy may be ahead of ours.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// Keys that were used and of which nobody has taken note yet.
#[derive(Debug, Default)]
pub struct Uses {
    held: Mutex<BTreeMap<KeyId, Timestamp>>,
    more: Notify,
}

/// Why a report of uses is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidUse {
    #[error("a message has at most {KEYS_MAX} keys")]
    TooMany,
    #[error("a key id has 12 characters of a-z and 2-7")]
    Id,
    #[error("a use lies in the future")]
    Time,
}

impl Uses {
    /// Takes a report in, as a whole or not at all.
    pub(crate) fn report(&self, used: wire::Used, now: Timestamp) -> Result<(), InvalidUse> {
        if KEYS_MAX < used.keys.len() {
            return Err(InvalidUse::TooMany);
        }
        let check = |wire::KeyUse { id, hour }: wire::KeyUse| {
            let id = KeyId::parse(&id).map_err(|_invalid| InvalidUse::Id)?;
            let hour = Timestamp::from_second(hour).map_err(|_range| InvalidUse::Time)?;
            let sane = hour.duration_since(now) <= SKEW;
            if sane { Ok((id, hour)) } else { Err(InvalidUse::Time) }
        };
        let uses = used.keys.into_iter().map(check).collect::<Result<Vec<_>, _>>()?;
        let mut held = self.held.lock();
        for (id, hour) in uses {
            if let Some(last) = held.get_mut(&id) {
                *last = hour.max(*last);
            } else if held.len() < HELD_MAX {
                held.insert(id, hour);
            }
        }
        self.more.notify_one();
        Ok(())
    }

    /// Waits until keys were used, and says which and when. For one caller.
    pub async fn take(&self) -> BTreeMap<KeyId, Timestamp> {
        loop {
            let more = self.more.notified();
            let held = std::mem::take(&mut *self.held.lock());
            if !held.is_empty() {
                return held;
            }
            more.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(id: &str, hour: i64) -> wire::Used {
        wire::Used { keys: vec![wire::KeyUse { id: id.into(), hour }] }
    }

    #[tokio::test]
    async fn of_several_uses_the_last_counts() {
        let (uses, now) = (Uses::default(), Timestamp::from_second(100_000).unwrap());
        for hour in [7200, 10_800, 3600] {
            uses.report(used("abcdefgh2345", hour), now).unwrap();
        }
        let taken: Vec<_> = uses.take().await.into_values().collect();
        assert_eq!(taken, [Timestamp::from_second(10_800).unwrap()]);
    }

    #[test]
    fn nonsense_is_refused_as_a_whole() {
        let (uses, now) = (Uses::default(), Timestamp::from_second(100_000).unwrap());
        let many = vec![wire::KeyUse { id: "abcdefgh2345".into(), hour: 0 }; KEYS_MAX + 1];
        for (report, refusal) in [
            (wire::Used { keys: many }, InvalidUse::TooMany),
            (used("../etc", 0), InvalidUse::Id),
            (used("abcdefgh2345", 200_000), InvalidUse::Time),
            (used("abcdefgh2345", i64::MAX), InvalidUse::Time),
        ] {
            assert_eq!(uses.report(report, now), Err(refusal));
        }
        assert!(uses.held.lock().is_empty());
    }
}
