//! Prometheus metrics of a program.

use anyhow::Context as _;
use std::net::SocketAddr;

use super::http::http_client;

/// The metrics of an admin listener, as text.
#[derive(Clone, Debug)]
pub struct Metrics(String);

impl Metrics {
    pub(crate) async fn fetch(admin: SocketAddr) -> anyhow::Result<Self> {
        let url = format!("http://{admin}/metrics");
        let response = http_client()?.get(&url).send().await;
        let response = response.and_then(reqwest::Response::error_for_status);
        let response = response.with_context(|| format!("fetching {url}"))?;
        Ok(Self(response.text().await.with_context(|| format!("reading {url}"))?))
    }

    /// The value of a series, written with its labels; 0 if there is none.
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
