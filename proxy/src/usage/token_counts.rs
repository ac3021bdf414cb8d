//! The token counts of a `usage` object, in every dialect.
//!
//! The OpenAI dialects have two names for each count (`prompt_tokens` in the older APIs,
//! `input_tokens` in the newer), and providers mix them up, so both are read everywhere. A value
//! that is not a count is ignored.

use super::UsageFormat;
use crate::body::json::{Member, ValueKind, members};

/// The largest count that is believed. No context is that long; a larger one is an upstream's
/// bug, and would use up the caller's quota.
pub(super) const TOKENS_MAX: u64 = 1_000_000_000;

/// Tokens that one reply cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// Including those read from a cache.
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// The input tokens read from a cache.
    pub cached_tokens: u64,
    /// Whether the upstream did not report all: then some or all output tokens are counted as one
    /// for each event with text, and the input may be 0.
    pub estimated: bool,
}

/// The counts known so far. A stream reports them piece by piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TokenCounts {
    input: Option<u64>,
    output: Option<u64>,
    cached: Option<u64>,
    /// Written to a cache; only the Messages dialect counts it apart from the input.
    cache_written: Option<u64>,
    total: Option<u64>,
}

impl TokenCounts {
    /// Parses the value of a `usage` member. `None` if it holds no count of tokens, such as
    /// `{"type":"duration","seconds":12}`.
    pub(super) fn parse(usage: &[u8]) -> Option<Self> {
        let mut counts = Self::default();
        members(usage, |member| counts.add(usage, &member)).ok()?;
        let reported = counts.input.or(counts.output).or(counts.total);
        reported.map(|_| counts)
    }

    fn add(&mut self, text: &[u8], member: &Member<'_>) {
        let value = member.value_in(text);
        let field = match member.key {
            "prompt_tokens" | "input_tokens" => &mut self.input,
            "completion_tokens" | "output_tokens" => &mut self.output,
            "total_tokens" => &mut self.total,
            "cache_read_input_tokens" => &mut self.cached,
            "cache_creation_input_tokens" => &mut self.cache_written,
            "prompt_tokens_details" | "input_tokens_details"
                if member.kind == ValueKind::Object =>
            {
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

    /// Adds the counts of a later event. Counts are cumulative, so the later one is right, but for
    /// zeros in the place of an earlier count: Anthropic's `message_delta` may repeat the input or
    /// leave it out, and some servers fill in 0.
    pub(super) fn merge(&mut self, later: Self) {
        let reports_input = [later.input, later.cached, later.cache_written, later.total]
            .into_iter()
            .flatten()
            .any(|count| count > 0);
        if reports_input {
            self.input = later.input.or(self.input);
            self.cached = later.cached.or(self.cached);
            self.cache_written = later.cache_written.or(self.cache_written);
            self.total = later.total.or(self.total);
        }
        self.output = self.output.max(later.output);
    }

    /// The tokens used; `unreported` output tokens came after the upstream's last report.
    pub(super) fn usage(self, usage_format: UsageFormat, unreported: u64) -> TokenUsage {
        let output = self.output.unwrap_or(0);
        let cached = self.cached.unwrap_or(0);
        let input = self
            .input
            .or_else(|| self.total.map(|total| total.saturating_sub(output)))
            .unwrap_or(0);
        let uncounted = if usage_format == UsageFormat::Messages {
            cached.saturating_add(self.cache_written.unwrap_or(0))
        } else {
            0
        };
        TokenUsage {
            input_tokens: input.saturating_add(uncounted),
            output_tokens: output.saturating_add(unreported),
            cached_tokens: cached,
            estimated: unreported > 0,
        }
    }
}

fn count(value: &[u8]) -> Option<u64> {
    let count: u64 = str::from_utf8(value).ok()?.parse().ok()?;
    (count <= TOKENS_MAX).then_some(count)
}

#[cfg(test)]
mod tests;
