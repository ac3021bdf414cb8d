//! What a program counts.

use anyhow::Context as _;
use std::net::SocketAddr;

/// What an admin listener shows as metrics.
#[derive(Clone, Debug)]
pub struct Metrics(String);

impl Metrics {
    /// Asks for them.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn of(admin: SocketAddr) -> anyhow::Result<Self> {
        let url = format!("http://{admin}/metrics");
        let answer = crate::caller::client()?.get(&url).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        let answer = answer.with_context(|| format!("asking {url}"))?;
        Ok(Self(answer.text().await.with_context(|| format!("reading {url}"))?))
    }

    /// The value of a series, as it is written, labels included; 0 if there is none.
    pub fn get(&self, series: &str) -> f64 {
        let of = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok();
        self.0.lines().find_map(of).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn a_series_is_found_by_its_whole_name() {
        let text = "updates_total{kind=\"a\"} 2\nupdates_total 3\nupdates 4\n";
        let metrics = Metrics(text.into());
        assert_eq!(metrics.get("updates_total"), 3.0);
        assert_eq!(metrics.get("updates_total{kind=\"a\"}"), 2.0);
        assert_eq!(metrics.get("update"), 0.0);
    }
}
