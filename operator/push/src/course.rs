//! Where one stream is: what was sent last, and whether it was answered.
//!
//! One update is under way at a time. What changes meanwhile goes out with the next one, joined:
//! a proxy that is slow is sent less, not more.

use crate::table::Delta;
use llm_contract::push::Digest;
use std::time::{Duration, Instant};

/// The course of one stream.
#[derive(Debug)]
pub(crate) struct Course {
    /// What the proxy has in force, as far as it said.
    pub(crate) in_force: Option<Digest>,
    /// Of the update that was sent last; 0 before the first.
    pub(crate) sequence: u64,
    /// What is to be answered.
    pub(crate) awaited: Option<Awaited>,
    /// When something was sent or answered last.
    pub(crate) since: Instant,
}

/// An update that was sent and is to be answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Awaited {
    digest: Digest,
    published: Option<Instant>,
    sent: Instant,
}

/// An answer that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Breach {
    #[error("update {answered} was answered, and {sent} is the last that was sent")]
    NotSent { answered: u64, sent: u64 },
    #[error("update {sequence} makes table {sent}, and {found} is said to be in force after it")]
    OtherTable { sequence: u64, sent: Digest, found: Found },
}

/// A table, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found(Option<Digest>);

impl Course {
    pub(crate) fn new(in_force: Option<Digest>, now: Instant) -> Self {
        Self { in_force, sequence: 0, awaited: None, since: now }
    }

    /// What is sent goes out now. Returns its sequence.
    pub(crate) fn sends(&mut self, delta: &Delta, now: Instant) -> u64 {
        // A proxy that comes back lacks what was published while it was away. That says nothing
        // about how long a change takes to get there.
        let published = delta.published.filter(|_| 0 < self.sequence);
        self.awaited = Some(Awaited { digest: delta.digest, published, sent: now });
        self.since = now;
        self.sequence += 1;
        self.sequence
    }

    /// A report came. If it answers a change, says how long that took since it was published.
    pub(crate) fn hears(
        &mut self,
        sequence: u64,
        digest: Option<Digest>,
        now: Instant,
    ) -> Result<Option<Duration>, Breach> {
        if self.sequence < sequence {
            return Err(Breach::NotSent { answered: sequence, sent: self.sequence });
        }
        let answers = 0 < sequence && sequence == self.sequence;
        let Some(awaited) = self.awaited.take_if(|_| answers) else {
            return Ok(None);
        };
        if digest != Some(awaited.digest) {
            let (sent, found) = (awaited.digest, Found(digest));
            return Err(Breach::OtherTable { sequence, sent, found });
        }
        (self.in_force, self.since) = (digest, now);
        Ok(awaited.published.map(|published| now.saturating_duration_since(published)))
    }

    /// How long the answer is awaited.
    pub(crate) fn sent(&self) -> Option<Instant> {
        self.awaited.map(|awaited| awaited.sent)
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(digest) => digest.fmt(f),
            None => f.write_str("none"),
        }
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
    fn an_answer_says_how_long_its_change_took() {
        let start = clock::now();
        let later = |millis| start + Duration::from_millis(millis);
        let mut course = Course::new(None, start);
        let first = course.sends(&delta(1, None), start);
        assert_eq!(course.hears(first, Some(digest_of(1)), later(5)), Ok(None));
        let second = course.sends(&delta(2, Some(later(10))), later(20));
        assert_eq!(course.sent(), Some(later(20)));
        let took = course.hears(second, Some(digest_of(2)), later(50));
        assert_eq!(took, Ok(Some(Duration::from_millis(40))));
        assert_eq!((course.in_force, course.sent()), (Some(digest_of(2)), None));
    }

    #[test]
    fn the_first_update_of_a_stream_measures_nothing() {
        let start = clock::now();
        let mut course = Course::new(None, start);
        let first = course.sends(&delta(1, Some(start)), start);
        assert_eq!(course.hears(first, Some(digest_of(1)), start), Ok(None));
    }

    #[test]
    fn a_report_that_answers_nothing_leaves_the_update_awaited() {
        let start = clock::now();
        let mut course = Course::new(None, start);
        course.sends(&delta(1, None), start);
        assert_eq!(course.hears(0, None, start), Ok(None));
        assert_eq!(course.sent(), Some(start));
    }

    #[test]
    fn an_answer_to_what_was_not_sent_is_a_breach() {
        let mut course = Course::new(None, clock::now());
        let breach = Breach::NotSent { answered: 1, sent: 0 };
        assert_eq!(course.hears(1, None, clock::now()), Err(breach));
    }

    #[test]
    fn an_answer_with_another_table_is_a_breach() {
        let mut course = Course::new(None, clock::now());
        course.sends(&delta(1, None), clock::now());
        let breach = course.hears(1, Some(digest_of(2)), clock::now()).unwrap_err();
        assert_eq!(
            breach.to_string(),
            "update 1 makes table 0101010101010101, and 0202020202020202 is said to be in force \
             after it"
        );
    }
}
