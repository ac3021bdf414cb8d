//! What the simulated model says: plain sentences, decided by seed and prompt alone.

use crate::token::{self, pieces};

const OPENINGS: [&str; 6] = ["The", "A", "Every", "One", "Another", "Some"];
const ADJECTIVES: [&str; 12] = [
    "quick", "quiet", "bright", "small", "patient", "curious", "gentle", "old", "clever", "warm",
    "distant", "steady",
];
const NOUNS: [&str; 14] = [
    "fox",
    "river",
    "gardener",
    "lantern",
    "sailor",
    "mountain",
    "teacher",
    "sparrow",
    "village",
    "engine",
    "traveller",
    "forest",
    "painter",
    "harbour",
];
const VERBS: [&str; 10] = [
    "follows",
    "remembers",
    "crosses",
    "watches",
    "welcomes",
    "finds",
    "describes",
    "passes",
    "greets",
    "admires",
];
const ENDINGS: [&str; 10] = [
    "before the rain",
    "in the morning light",
    "without a sound",
    "at the end of the day",
    "near the old bridge",
    "as if nothing had happened",
    "with great care",
    "under a clear sky",
    "for the first time",
    "while the others sleep",
];
/// Sentences in an answer that nothing cuts short: from this many ..
const SENTENCES_MIN: u64 = 2;
/// .. to this many less one.
const SENTENCES_END: u64 = 6;

/// How an answer ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FinishReason {
    /// It was said: the model emitted its end mark.
    Stop,
    /// A stop string came up.
    StopString(String),
    /// The limit of tokens was reached.
    Length,
}

/// A whole answer, known before its first token is due.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    text: String,
    /// Byte offset in `text` behind each token; the end mark adds nothing.
    ends: Vec<usize>,
    pub(crate) finish: FinishReason,
    /// Set when the text is the arguments of a call to this function.
    pub(crate) call: Option<String>,
}

/// What limits an answer.
#[derive(Clone, Debug)]
pub(crate) struct AnswerLimits {
    /// Tokens at most, the end mark included.
    pub(crate) tokens_max: usize,
    /// Go on until `tokens_max`, as load generators want it.
    pub(crate) ignore_end: bool,
    /// Texts that end the answer and are not part of it.
    pub(crate) stop: Vec<String>,
}

impl Script {
    /// Writes sentences within `bounds`; the same `key` writes the same ones.
    pub(crate) fn prose(key: u64, bounds: &AnswerLimits) -> Self {
        let mut dice = SplitMix(key);
        let wanted = SENTENCES_MIN + dice.roll(SENTENCES_END - SENTENCES_MIN);
        let mut text = String::new();
        let mut written = 0;
        // A piece has at most six bytes, so this many bytes are tokens enough.
        let bytes_enough = bounds.tokens_max.saturating_mul(token::PIECE_BYTES_MAX);
        while text.len() <= bytes_enough && (bounds.ignore_end || written < wanted) {
            sentence(&mut dice, &mut text);
            written += 1;
        }
        Self::cut(text, bounds, None)
    }

    /// Calls a function with `arguments`, a JSON text.
    pub(crate) fn call(name: String, arguments: String, bounds: &AnswerLimits) -> Self {
        let unbroken = AnswerLimits { stop: Vec::new(), ignore_end: false, ..bounds.clone() };
        Self::cut(arguments, &unbroken, Some(name))
    }

    /// Tokens, as usage counts them: the end mark is one.
    pub(crate) fn tokens(&self) -> usize {
        self.ends.len()
    }

    /// The text of the tokens `from..to`; empty where the answer is over.
    pub(crate) fn slice(&self, from: usize, to: usize) -> &str {
        let end_of = |tokens: usize| match tokens.min(self.ends.len()).checked_sub(1) {
            Some(last) => self.ends.get(last).copied().unwrap_or(0),
            None => 0,
        };
        self.text.get(end_of(from)..end_of(to)).unwrap_or("")
    }

    /// The whole answer.
    pub(crate) fn text(&self) -> &str {
        self.slice(0, self.tokens())
    }

    /// The tokens as a later prompt would hold them.
    pub(crate) fn encode(&self, into: &mut Vec<u64>) {
        token::encode(self.text(), into);
        if self.finish == FinishReason::Stop {
            into.push(token::MESSAGE_END);
        }
    }

    fn cut(mut text: String, bounds: &AnswerLimits, call: Option<String>) -> Self {
        let stop = bounds.stop.iter().filter(|stop| !stop.is_empty());
        let hit = stop.filter_map(|stop| Some((text.find(stop.as_str())?, stop))).min();
        let mut finish = FinishReason::Stop;
        let mut ends = Vec::new();
        // The token that completes a stop string is generated, but its text is cut.
        let visible = hit.map_or(text.len(), |(at, _)| at);
        let needed = hit.map_or(text.len(), |(at, stop)| at + stop.len());
        let mut end = 0;
        if call.is_some() {
            ends.push(0);
        }
        for piece in pieces(&text) {
            if end >= needed {
                break;
            }
            end += piece.len();
            ends.push(end.min(visible));
        }
        match hit {
            Some((_, stop)) => finish = FinishReason::StopString(stop.clone()),
            None => ends.push(visible),
        }
        if ends.len() > bounds.tokens_max {
            ends.truncate(bounds.tokens_max);
            finish = FinishReason::Length;
        }
        text.truncate(visible);
        Self { text, ends, finish, call }
    }
}

/// A small generator (splitmix64); the same start gives the same numbers everywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scatter(self.0)
    }

    /// A number below `end`, which must not be zero.
    pub(crate) fn roll(&mut self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or(0)
    }

    /// A number from 0 to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        let at = self.roll(u64::try_from(words.len()).unwrap_or(1));
        usize::try_from(at).ok().and_then(|at| words.get(at)).copied().unwrap_or("")
    }
}

/// One number from two, order mattering.
pub(crate) fn mix(left: u64, right: u64) -> u64 {
    scatter(left.rotate_left(5) ^ scatter(right.wrapping_add(0x9e37_79b9_7f4a_7c15)))
}

/// One number from a row of tokens.
pub(crate) fn fold(start: u64, tokens: &[u64]) -> u64 {
    tokens.iter().fold(start, |hash, token| mix(hash, *token))
}

fn scatter(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn sentence(dice: &mut SplitMix, text: &mut String) {
    if !text.is_empty() {
        text.push(' ');
    }
    let adjective = dice.pick(&ADJECTIVES);
    let opening = match dice.pick(&OPENINGS) {
        "A" if adjective.starts_with(['a', 'e', 'i', 'o', 'u']) => "An",
        opening => opening,
    };
    let words =
        [opening, adjective, dice.pick(&NOUNS), dice.pick(&VERBS), "the", dice.pick(&ADJECTIVES)];
    for word in words {
        text.push_str(word);
        text.push(' ');
    }
    text.push_str(dice.pick(&NOUNS));
    text.push(' ');
    text.push_str(dice.pick(&ENDINGS));
    text.push('.');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bounds(tokens_max: usize) -> AnswerLimits {
        AnswerLimits { tokens_max, ignore_end: false, stop: Vec::new() }
    }

    #[test]
    fn an_answer_reads_like_sentences_and_ends_with_a_full_stop() {
        let script = Script::prose(7, &bounds(1000));
        assert_eq!(script.finish, FinishReason::Stop);
        assert!(script.text().ends_with('.'), "{}", script.text());
        assert!(script.text().starts_with(char::is_uppercase), "{}", script.text());
    }

    #[test]
    fn the_limit_cuts_and_says_length() {
        let script = Script::prose(7, &bounds(5));
        assert_eq!((script.tokens(), script.finish), (5, FinishReason::Length));
    }

    #[test]
    fn a_stop_string_is_not_part_of_the_answer() {
        let whole = Script::prose(7, &bounds(1000));
        let stop = whole.slice(3, 5).to_owned();
        let script = Script::prose(7, &AnswerLimits { stop: vec![stop.clone()], ..bounds(1000) });
        assert_eq!(script.text(), whole.slice(0, 3));
        assert_eq!((script.tokens(), script.finish), (5, FinishReason::StopString(stop)));
    }

    #[test]
    fn ignoring_the_end_fills_the_limit() {
        let script = Script::prose(7, &AnswerLimits { ignore_end: true, ..bounds(1200) });
        assert_eq!((script.tokens(), script.finish), (1200, FinishReason::Length));
    }

    proptest! {
        #[test]
        fn the_parts_of_an_answer_are_the_answer(key: u64, step in 1..9_usize, max in 1..200_usize) {
            let script = Script::prose(key, &bounds(max));
            let parts: String =
                (0..script.tokens()).step_by(step).map(|at| script.slice(at, at + step)).collect();
            prop_assert_eq!(parts, script.text());
        }
    }
}
