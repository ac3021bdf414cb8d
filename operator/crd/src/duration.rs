//! Durations as users write them.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A duration such as `90s` or `1h30m`: up to four numbers with units `h`, `m`, `s` or `ms`.
///
/// ```
/// use llm_crd::DurationText;
/// use std::time::Duration;
/// assert_eq!(DurationText::from("1h30m").parse(), Some(Duration::from_secs(5400)));
/// assert_eq!(DurationText::from("soon").parse(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DurationText(String);

impl DurationText {
    /// The pattern of the schema.
    pub const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

    /// The duration; `None` if the text is not one.
    pub fn parse(&self) -> Option<Duration> {
        let mut rest = self.0.as_str();
        let mut sum = Duration::ZERO;
        while !rest.is_empty() {
            let (number, after) = split(rest, |c| c.is_ascii_digit());
            let (unit, after) = split(after, |c| c.is_ascii_alphabetic());
            let number: u64 = number.parse().ok().filter(|_| number.len() <= 5)?;
            sum += match unit {
                "h" => Duration::from_secs(number * 3600),
                "m" => Duration::from_secs(number * 60),
                "s" => Duration::from_secs(number),
                "ms" => Duration::from_millis(number),
                _ => return None,
            };
            rest = after;
        }
        (!self.0.is_empty()).then_some(sum)
    }
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

impl From<&str> for DurationText {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl schemars::JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DurationText".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": Self::PATTERN})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_the_schema_accepts_can_be_read(text in "([0-9]{1,5}(h|m|s|ms)){1,4}") {
            prop_assert!(DurationText(text).parse().is_some());
        }
    }

    #[test]
    fn what_the_schema_rejects_is_not_a_duration() {
        for text in ["", "1", "s", "1d", "1.5s", "123456s", "-1s", "1 s", "1S"] {
            assert_eq!(DurationText::from(text).parse(), None, "{text:?}");
        }
    }

    #[test]
    fn parts_are_added() {
        let parsed = DurationText::from("1h2m3s4ms").parse();
        assert_eq!(parsed, Some(Duration::from_millis(3_723_004)));
    }
}
