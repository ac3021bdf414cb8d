//! Quantiles of durations.

use std::{fmt, time::Duration};

/// How long something took, each time it was measured.
#[derive(Clone, Debug, Default)]
pub struct Durations(Vec<Duration>);

impl Durations {
    pub fn push(&mut self, duration: Duration) {
        self.0.push(duration);
    }

    /// The quantile at so many per mille, by nearest rank; zero if there are none.
    pub fn per_mille(&self, per_mille: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get((last * per_mille + 500) / 1000).copied().unwrap_or_default()
    }
}

impl IntoIterator for Durations {
    type Item = Duration;
    type IntoIter = std::vec::IntoIter<Duration>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Extend<Duration> for Durations {
    fn extend<T: IntoIterator<Item = Duration>>(&mut self, durations: T) {
        self.0.extend(durations);
    }
}

impl fmt::Display for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, max] = [500, 990, 1000].map(|it| self.per_mille(it).as_secs_f64() * 1e3);
        write!(f, "p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms of {}", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Durations;
    use std::time::Duration;

    #[test]
    fn the_99th_percentile_of_a_hundred_and_one_is_the_last_but_one() {
        let mut durations = Durations::default();
        durations.extend((1..=101).map(Duration::from_millis));
        assert_eq!(durations.per_mille(990), Duration::from_millis(100));
        assert_eq!(durations.to_string(), "p50 51.0 ms, p99 100.0 ms, max 101.0 ms of 101");
        assert_eq!(Durations::default().per_mille(500), Duration::ZERO);
    }
}
