//! Times as people write them in arguments.

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use std::{str::FromStr, time::Duration};

/// A time: `30d` from or before now, `2030-01-31` (midnight UTC) or `2030-01-31T12:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSpec {
    Relative(Duration),
    Absolute(Timestamp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTimeSpec {
    #[error(
        "write a duration such as `30d`, a date such as `2030-01-31`, or a time such as \
         `2030-01-31T12:00:00Z`"
    )]
    Form,
    #[error("the time is out of range")]
    OutOfRange,
}

impl TimeSpec {
    /// The time; a duration counts forwards from `now`.
    pub fn after(self, now: Timestamp) -> Result<Timestamp, InvalidTimeSpec> {
        self.resolve(|duration| now.checked_add(duration))
    }

    /// The time; a duration counts backwards from `now`.
    pub fn before(self, now: Timestamp) -> Result<Timestamp, InvalidTimeSpec> {
        self.resolve(|duration| now.checked_sub(duration))
    }

    fn resolve(
        self,
        apply: impl FnOnce(SignedDuration) -> Result<Timestamp, jiff::Error>,
    ) -> Result<Timestamp, InvalidTimeSpec> {
        match self {
            Self::Absolute(time) => Ok(time),
            Self::Relative(duration) => SignedDuration::try_from(duration)
                .and_then(apply)
                .map_err(|_out_of_range| InvalidTimeSpec::OutOfRange),
        }
    }
}

impl FromStr for TimeSpec {
    type Err = InvalidTimeSpec;

    fn from_str(text: &str) -> Result<Self, InvalidTimeSpec> {
        if let Ok(time) = text.parse() {
            return Ok(Self::Absolute(time));
        }
        // Stricter than `Date::from_str`, which ignores a time of day after the date.
        if let Ok(date) = Date::strptime("%Y-%m-%d", text) {
            let midnight = date.to_zoned(TimeZone::UTC);
            let midnight = midnight.map_err(|_out_of_range| InvalidTimeSpec::OutOfRange)?;
            return Ok(Self::Absolute(midnight.timestamp()));
        }
        humantime::parse_duration(text).map(Self::Relative).map_err(|_form| InvalidTimeSpec::Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn spec(text: &str) -> TimeSpec {
        text.parse().unwrap()
    }

    #[test]
    fn a_time_is_written_as_a_duration_a_date_or_a_time() {
        let now = time("2030-01-01T00:00:00Z");
        for (text, expected) in [
            ("90d", "2030-04-01T00:00:00Z"),
            ("2030-01-31", "2030-01-31T00:00:00Z"),
            ("2030-01-31T12:00:00+01:00", "2030-01-31T11:00:00Z"),
        ] {
            assert_eq!(spec(text).after(now), Ok(time(expected)), "{text}");
        }
        assert_eq!(spec("1d").before(now), Ok(time("2029-12-31T00:00:00Z")));
    }

    #[test]
    fn anything_else_is_refused_and_never_guessed() {
        for text in ["soon", "tomorrow", "", "2030-01-31T12:00:00", "2030-01-31 12:00", "31.1.2030"]
        {
            assert_eq!(text.parse::<TimeSpec>(), Err(InvalidTimeSpec::Form), "{text}");
        }
        let now = time("2030-01-01T00:00:00Z");
        for text in ["9999999y", "99999999999d"] {
            assert_eq!(spec(text).after(now), Err(InvalidTimeSpec::OutOfRange), "{text}");
        }
    }
}
