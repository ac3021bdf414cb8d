//! Clients that send requests all the time, and notice every answer that is not as it should be.

use std::{net::SocketAddr, ops::AddAssign, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::durations::Durations;
use super::gateway_client::GatewayClient;
use crate::clock;

/// Errors that are kept as text.
const ERRORS_MAX: usize = 10;

/// Running clients.
pub struct LoadGenerator {
    stop: CancellationToken,
    clients: JoinSet<LoadReport>,
}

/// What the clients of a load generator saw.
#[derive(Clone, Debug, Default)]
pub struct LoadReport {
    pub requests: u64,
    pub failed: u64,
    /// The first errors.
    pub errors: Vec<String>,
    /// Of responses that are not streams.
    pub latencies: Durations,
}

impl LoadGenerator {
    /// Starts clients at each of these proxies that send the next request as soon as the last is
    /// answered. Every other answer is a stream.
    pub fn start(
        client: &GatewayClient,
        proxies: &[SocketAddr],
        model: &str,
        clients_per_proxy: usize,
    ) -> Self {
        Self::paced(client, proxies, model, clients_per_proxy, Duration::ZERO)
    }

    /// The same, but each client sends at most one request per interval.
    pub fn paced(
        client: &GatewayClient,
        proxies: &[SocketAddr],
        model: &str,
        clients_per_proxy: usize,
        interval: Duration,
    ) -> Self {
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        for proxy in proxies.iter().flat_map(|proxy| std::iter::repeat_n(*proxy, clients_per_proxy))
        {
            clients.spawn(run(client.clone(), proxy, model.to_owned(), interval, stop.clone()));
        }
        Self { stop, clients }
    }

    /// Waits for the requests under way, and adds up what the clients saw.
    pub async fn stop(mut self) -> LoadReport {
        self.stop.cancel();
        let mut sum = LoadReport::default();
        while let Some(ended) = self.clients.join_next().await {
            sum += ended.unwrap_or_else(|error| LoadReport::failed(error.to_string()));
        }
        sum
    }
}

async fn run(
    client: GatewayClient,
    proxy: SocketAddr,
    model: String,
    interval: Duration,
    stop: CancellationToken,
) -> LoadReport {
    let mut report = LoadReport::default();
    let mut next = clock::now();
    while !stop.is_cancelled() {
        tokio::time::sleep_until(next.into()).await;
        let stream = report.requests % 2 == 1;
        let start = clock::now();
        next = start + interval;
        let result = client.chat(proxy, &model, stream).await;
        if !stream {
            report.latencies.push(clock::now() - start);
        }
        report.requests += 1;
        if let Err(error) = result {
            report += LoadReport::failed(format!("{error:#}"));
            // A client that is rejected at once must not spin.
            tokio::task::yield_now().await;
        }
    }
    report
}

impl LoadReport {
    fn failed(error: String) -> Self {
        Self { failed: 1, errors: vec![error], ..Self::default() }
    }
}

impl AddAssign for LoadReport {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        let room = ERRORS_MAX.saturating_sub(self.errors.len());
        self.errors.extend(other.errors.into_iter().take(room));
        self.latencies.extend(other.latencies);
    }
}
