//! Acknowledgements on one stream.
//!
//! One update is in flight at a time. Changes made meanwhile are merged into the next one: a slow
//! proxy is sent less, not more.

use crate::store::Delta;
use llm_contract::push::Digest;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct AckTracker {
    /// The table that the proxy acknowledged last.
    pub(crate) acked: Option<Digest>,
    /// Of the last update sent; 0 before the first.
    pub(crate) sequence: u64,
    in_flight: Option<InFlight>,
    /// When an update was last sent or acknowledged.
    pub(crate) last_activity: Instant,
}

/// An update that was sent and not yet acknowledged.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    digest: Digest,
    published: Option<Instant>,
    sent: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolViolation {
    #[error("update {acked} was acknowledged, but {sent} is the last that was sent")]
    UnknownSequence { acked: u64, sent: u64 },
    #[error(
        "update {sequence} makes table {sent}, but the proxy reports {} after it",
        .found.map_or("none".to_owned(), |digest| digest.to_string())
    )]
    OtherTable { sequence: u64, sent: Digest, found: Option<Digest> },
}

impl AckTracker {
    pub(crate) fn new(acked: Option<Digest>, now: Instant) -> Self {
        Self { acked, sequence: 0, in_flight: None, last_activity: now }
    }

    /// Returns the sequence of the update.
    pub(crate) fn on_send(&mut self, delta: &Delta, now: Instant) -> u64 {
        // The first update of a stream holds changes made before it began, so that their age says
        // nothing about the time that a change takes to arrive.
        let published = delta.published.filter(|_| 0 < self.sequence);
        self.in_flight = Some(InFlight { digest: delta.digest, published, sent: now });
        self.last_activity = now;
        self.sequence += 1;
        self.sequence
    }

    /// Returns how long ago the change was published, if the report acknowledges one.
    pub(crate) fn on_ack(
        &mut self,
        sequence: u64,
        digest: Option<Digest>,
        now: Instant,
    ) -> Result<Option<Duration>, ProtocolViolation> {
        if self.sequence < sequence {
            return Err(ProtocolViolation::UnknownSequence {
                acked: sequence,
                sent: self.sequence,
            });
        }
        let acknowledges = 0 < sequence && sequence == self.sequence;
        let Some(in_flight) = self.in_flight.take_if(|_| acknowledges) else {
            return Ok(None);
        };
        if digest != Some(in_flight.digest) {
            let (sent, found) = (in_flight.digest, digest);
            return Err(ProtocolViolation::OtherTable { sequence, sent, found });
        }
        (self.acked, self.last_activity) = (digest, now);
        Ok(in_flight.published.map(|published| now.saturating_duration_since(published)))
    }

    /// When the update in flight was sent.
    pub(crate) fn in_flight_since(&self) -> Option<Instant> {
        self.in_flight.map(|it| it.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use llm_contract::push::Change;

    fn delta(digest: u8, published: Option<Instant>) -> Delta {
        let digest = digest_of(digest);
        Delta { from: None, digest, change: Change::default(), published }
    }

    fn digest_of(byte: u8) -> Digest {
        Digest::parse(&[byte; 32]).unwrap().unwrap()
    }

    #[test]
    fn an_acknowledgement_says_how_long_its_change_took() {
        let start = clock::now();
        let later = |millis| start + Duration::from_millis(millis);
        let mut acks = AckTracker::new(None, start);
        let first = acks.on_send(&delta(1, None), start);
        assert_eq!(acks.on_ack(first, Some(digest_of(1)), later(5)), Ok(None));
        let second = acks.on_send(&delta(2, Some(later(10))), later(20));
        assert_eq!(acks.in_flight_since(), Some(later(20)));
        let took = acks.on_ack(second, Some(digest_of(2)), later(50));
        assert_eq!(took, Ok(Some(Duration::from_millis(40))));
        assert_eq!((acks.acked, acks.in_flight_since()), (Some(digest_of(2)), None));
    }

    #[test]
    fn the_first_update_of_a_stream_measures_nothing() {
        let start = clock::now();
        let mut acks = AckTracker::new(None, start);
        let first = acks.on_send(&delta(1, Some(start)), start);
        assert_eq!(acks.on_ack(first, Some(digest_of(1)), start), Ok(None));
    }

    #[test]
    fn a_report_without_sequence_leaves_the_update_in_flight() {
        let start = clock::now();
        let mut acks = AckTracker::new(None, start);
        acks.on_send(&delta(1, None), start);
        assert_eq!(acks.on_ack(0, None, start), Ok(None));
        assert_eq!(acks.in_flight_since(), Some(start));
    }

    #[test]
    fn an_acknowledgement_of_an_unsent_update_is_a_violation() {
        let mut acks = AckTracker::new(None, clock::now());
        let violation = ProtocolViolation::UnknownSequence { acked: 1, sent: 0 };
        assert_eq!(acks.on_ack(1, None, clock::now()), Err(violation));
    }

    #[test]
    fn an_acknowledgement_of_another_table_is_a_violation() {
        let mut acks = AckTracker::new(None, clock::now());
        acks.on_send(&delta(1, None), clock::now());
        let violation = acks.on_ack(1, Some(digest_of(2)), clock::now()).unwrap_err();
        assert_eq!(
            violation.to_string(),
            "update 1 makes table 0101010101010101, but the proxy reports 0202020202020202 after it"
        );
    }
}
