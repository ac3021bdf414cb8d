//! How long the heartbeats of other holders have been unchanged, by our own clock.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

#[derive(Debug, Default)]
pub(super) struct Staleness(HashMap<PathBuf, (Option<Vec<u8>>, Instant)>);

impl Staleness {
    /// Records a heartbeat, and returns how long it has been the same.
    pub(super) fn record(
        &mut self,
        folder: &Path,
        heartbeat: Option<Vec<u8>>,
        now: Instant,
    ) -> Duration {
        match self.0.get(folder) {
            Some((last, since)) if *last == heartbeat => now.duration_since(*since),
            _ => {
                self.0.insert(folder.to_owned(), (heartbeat, now));
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_heartbeat_of_the_same_holder_is_stale() {
        let (mut staleness, start) = (Staleness::default(), crate::clock::now());
        let mut record = |folder, heartbeat: Option<&[u8]>, seconds| {
            let now = start + Duration::from_secs(seconds);
            staleness.record(Path::new(folder), heartbeat.map(<[u8]>::to_vec), now).as_secs()
        };
        assert_eq!(record("a", Some(b"1"), 0), 0);
        assert_eq!(record("a", Some(b"1"), 9), 9);
        assert_eq!(record("a", Some(b"2"), 10), 0);
        assert_eq!(record("a", Some(b"2"), 15), 5);
        assert_eq!(record("b", Some(b"2"), 16), 0);
        assert_eq!(record("b", None, 17), 0);
        assert_eq!(record("b", None, 20), 3);
    }
}
