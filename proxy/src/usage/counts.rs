//! The numbers in a `usage` object, in every dialect.
//!
//! The OpenAI dialects have two names for each number (`prompt_tokens` in the older APIs,
//! `input_tokens` in the newer), and providers mix them up, so both are read everywhere. What
//! does not look like a count is read as if it were absent.

use super::{Shape, Usage};
use crate::body::json::{Kind, Member, members};

/// The largest count that is believed. No context is that long; what is above is a broken
/// upstream, and would spend somebody's quota for good.
pub(super) const TOKENS_MAX: u64 = 1_000_000_000;

/// What is known so far. A stream tells it piece by piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    input: Option<u64>,
    output: Option<u64>,
    cached: Option<u64>,
    /// Written to a cache; only the Messages dialect counts it apart from the input.
    cache_written: Option<u64>,
    total: Option<u64>,
}

impl Counts {
    /// Reads the value of a `usage` member. `None` if it holds no count of tokens, as
    /// `{"type":"duration","seconds":12}` does not.
    pub(super) fn read(usage: &[u8]) -> Option<Self> {
        let mut counts = Self::default();
        members(usage, |member| counts.take(usage, &member)).ok()?;
        let told = counts.input.or(counts.output).or(counts.total);
        told.map(|_| counts)
    }

    fn take(&mut self, text: &[u8], member: &Member<'_>) {
        let value = text.get(member.value.clone()).unwrap_or_default();
        let field = match member.key {
            "prompt_tokens" | "input_tokens" => &mut self.input,
            "completion_tokens" | "output_tokens" => &mut self.output,
            "total_tokens" => &mut self.total,
            "cache_read_input_tokens" => &mut self.cached,
            "cache_creation_input_tokens" => &mut self.cache_written,
            "prompt_tokens_details" | "input_tokens_details" if member.kind == Kind::Object => {
                // An error would have been one in the whole.
                let _valid = members(value, |detail| {
                    if detail.key == "cached_tokens" {
                        self.cached = value.get(detail.value).and_then(count).or(self.cached);
                    }
                });
                return;
            }
            _ => return,
        };
        *field = count(value).or(*field);
    }

    /// Adds what a later event says. Counts are cumulative, so the later one is right, but for
    /// zeros in the place of what an earlier event told: Anthropic's `message_delta` may repeat
    /// the input or leave it out, and some servers fill in 0.
    pub(super) fn merge(&mut self, later: Self) {
        let tells_input = [later.input, later.cached, later.cache_written, later.total]
            .into_iter()
            .flatten()
            .any(|count| count > 0);
        if tells_input {
            self.input = later.input.or(self.input);
            self.cached = later.cached.or(self.cached);
            self.cache_written = later.cache_written.or(self.cache_written);
            self.total = later.total.or(self.total);
        }
        self.output = self.output.max(later.output);
    }

    /// The tokens used. `unreported` output tokens came after the upstream last told.
    pub(super) fn usage(self, shape: Shape, unreported: u64) -> Usage {
        let output = self.output.unwrap_or(0);
        let cached = self.cached.unwrap_or(0);
        let input = self
            .input
            .or_else(|| self.total.map(|total| total.saturating_sub(output)))
            .unwrap_or(0);
        let apart = match shape {
            Shape::Messages => cached.saturating_add(self.cache_written.unwrap_or(0)),
            Shape::Chat
            | Shape::Completions
            | Shape::Responses
            | Shape::Embeddings
            | Shape::Audio
            | Shape::Images
            | Shape::None => 0,
        };
        Usage {
            input_tokens: input.saturating_add(apart),
            output_tokens: output.saturating_add(unreported),
            cached_tokens: cached,
            estimated: unreported > 0,
        }
    }
}

/// A number that can be a count of tokens.
fn count(value: &[u8]) -> Option<u64> {
    let count: u64 = str::from_utf8(value).ok()?.parse().ok()?;
    (count <= TOKENS_MAX).then_some(count)
}

#[cfg(test)]
mod tests;
