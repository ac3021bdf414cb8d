//! Quantiles of durations.

use std::{fmt, time::Duration};

/// How long something took, each time.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<Duration>);

impl Figures {
    /// Adds one.
    pub fn add(&mut self, figure: Duration) {
        self.0.push(figure);
    }

    /// Adds all of another set.
    pub fn add_all(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The nearest rank of so many per mille; zero if there are none.
    pub fn per_mille(&self, per_mille: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get((last * per_mille + 500) / 1000).copied().unwrap_or_default()
    }
}

impl Extend<Duration> for Figures {
    fn extend<T: IntoIterator<Item = Duration>>(&mut self, figures: T) {
        self.0.extend(figures);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, most] = [500, 990, 1000].map(|it| self.per_mille(it).as_secs_f64() * 1e3);
        write!(f, "p50 {p50:.1} ms, p99 {p99:.1} ms, most {most:.1} ms of {}", self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::Figures;
    use std::time::Duration;

    #[test]
    fn the_99th_percentile_of_a_hundred_and_one_is_the_last_but_one() {
        let mut figures = Figures::default();
        figures.extend((1..=101).map(Duration::from_millis));
        assert_eq!(figures.per_mille(990), Duration::from_millis(100));
        assert_eq!(figures.to_string(), "p50 51.0 ms, p99 100.0 ms, most 101.0 ms of 101");
        assert_eq!(Figures::default().per_mille(500), Duration::ZERO);
    }
}
