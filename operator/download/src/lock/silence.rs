//! For how long a holder has not been heard of, by our own clock.

use std::time::{Duration, Instant};

/// What was heard last, and since when it has been the same.
#[derive(Debug, Default)]
pub(super) struct Silence(Option<(Heard, Instant)>);

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    NoToken,
    Holder { id: String, beat: Option<Vec<u8>> },
}

impl Silence {
    /// Takes in what a holder's beat is now; says for how long it has been the same.
    pub(super) fn observe(&mut self, id: &str, beat: Option<&[u8]>, now: Instant) -> Duration {
        let heard = Heard::Holder { id: id.to_owned(), beat: beat.map(<[u8]>::to_vec) };
        self.hear(heard, now)
    }

    /// Takes in that there is no token. A reader may miss one that is just being renamed.
    pub(super) fn observe_no_token(&mut self, now: Instant) {
        self.hear(Heard::NoToken, now);
    }

    /// For how long there has been no token.
    pub(super) fn of_no_token(&self, now: Instant) -> Duration {
        match &self.0 {
            Some((Heard::NoToken, since)) => now.duration_since(*since),
            Some((Heard::Holder { .. }, _)) | None => Duration::ZERO,
        }
    }

    fn hear(&mut self, heard: Heard, now: Instant) -> Duration {
        match &self.0 {
            Some((before, since)) if *before == heard => now.duration_since(*since),
            _ => {
                self.0 = Some((heard, now));
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_beat_of_the_same_holder_is_silence() {
        let (mut silence, start) = (Silence::default(), crate::clock::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut observe =
            |id, beat: Option<&[u8]>, seconds| silence.observe(id, beat, at(seconds)).as_secs();
        assert_eq!(observe("a", Some(b"1"), 0), 0);
        assert_eq!(observe("a", Some(b"1"), 9), 9);
        assert_eq!(observe("a", Some(b"2"), 10), 0);
        assert_eq!(observe("a", Some(b"2"), 15), 5);
        assert_eq!(observe("b", Some(b"2"), 16), 0);
        assert_eq!(observe("b", None, 17), 0);
        assert_eq!(observe("b", None, 20), 3);
    }
}
