//! Callers who ask all the time, and notice every answer that is not as it should be.

use crate::{caller::Caller, clock, figures::Figures};
use std::{net::SocketAddr, ops::AddAssign, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Failures that are kept in words.
const FAILURES_MAX: usize = 10;

/// Callers who ask all the time.
pub struct Load {
    stop: CancellationToken,
    callers: JoinSet<Tally>,
}

/// What they saw.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How often they asked.
    pub requests: u64,
    /// How often the answer was not as it should be.
    pub failed: u64,
    /// Some of those, in words.
    pub failures: Vec<String>,
    /// How long whole answers took.
    pub latencies: Figures,
}

impl Load {
    /// So many at each of these proxies, all with the same key, each of whom asks as soon as the
    /// last answer has come. Every other answer is a stream.
    pub fn start(caller: &Caller, proxies: &[SocketAddr], model: &str, at_each: usize) -> Self {
        Self::paced(caller, proxies, model, at_each, Duration::ZERO)
    }

    /// The same, but each asks no more often than once in an interval.
    pub fn paced(
        caller: &Caller,
        proxies: &[SocketAddr],
        model: &str,
        at_each: usize,
        interval: Duration,
    ) -> Self {
        let stop = CancellationToken::new();
        let mut callers = JoinSet::new();
        for proxy in proxies.iter().flat_map(|proxy| std::iter::repeat_n(*proxy, at_each)) {
            let caller = caller.clone();
            callers.spawn(ask(caller, proxy, model.to_owned(), interval, stop.clone()));
        }
        Self { stop, callers }
    }

    /// Has them end what they have begun, and tells what they saw.
    pub async fn stop(mut self) -> Tally {
        self.stop.cancel();
        let mut sum = Tally::default();
        while let Some(ended) = self.callers.join_next().await {
            match ended {
                Ok(tally) => sum += tally,
                Err(broken) => sum += Tally::failed(broken.to_string()),
            }
        }
        sum
    }
}

async fn ask(
    caller: Caller,
    proxy: SocketAddr,
    model: String,
    interval: Duration,
    stop: CancellationToken,
) -> Tally {
    let mut tally = Tally::default();
    let mut next = clock::now();
    while !stop.is_cancelled() {
        tokio::time::sleep_until(next.into()).await;
        let stream = tally.requests % 2 == 1;
        let began = clock::now();
        next = began + interval;
        let asked = caller.chat(proxy, &model, stream).await;
        if !stream {
            tally.latencies.add(clock::now() - began);
        }
        tally.requests += 1;
        if let Err(error) = asked {
            tally += Tally::failed(format!("{error:#}"));
            // Whoever is refused at once does not ask without end.
            tokio::task::yield_now().await;
        }
    }
    tally
}

impl Tally {
    fn failed(failure: String) -> Self {
        Self { failed: 1, failures: vec![failure], ..Self::default() }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        let room = FAILURES_MAX.saturating_sub(self.failures.len());
        self.failures.extend(other.failures.into_iter().take(room));
        self.latencies.add_all(other.latencies);
    }
}
