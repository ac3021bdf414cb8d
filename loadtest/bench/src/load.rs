//! The load: closed loops, one request at a time on each connection.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::client::{Connection, Event};
use crate::clock;
use crate::error::ExchangeError;

/// A loop that failed this often stops: the target is broken, not slow.
const ERRORS_MAX: u64 = 20;

/// What one loop does.
#[derive(Clone)]
pub(crate) struct ClosedLoop {
    pub(crate) address: SocketAddr,
    pub(crate) request: Arc<[u8]>,
    /// No request starts after this point of the clock.
    pub(crate) until_ns: u64,
    /// Nor after so many requests.
    pub(crate) requests_max: u64,
}

/// What the loops saw.
#[derive(Debug, Default)]
pub(crate) struct LoadReport {
    pub(crate) requests: u64,
    pub(crate) events: u64,
    pub(crate) errors: u64,
    /// What the last error was, for the reader.
    pub(crate) last_error: Option<ExchangeError>,
    /// From the first byte written to the last byte read, each request.
    pub(crate) latencies_ns: Vec<u64>,
    /// From the first byte written to the first event, each stream.
    pub(crate) first_events_ns: Vec<u64>,
    /// From the mock's stamp to the read that completed the event, each event.
    pub(crate) delays_ns: Vec<u64>,
}

impl LoadReport {
    fn add(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.events = self.events.saturating_add(other.events);
        self.errors = self.errors.saturating_add(other.errors);
        self.last_error = other.last_error.or(self.last_error.take());
        self.latencies_ns.extend(other.latencies_ns);
        self.first_events_ns.extend(other.first_events_ns);
        self.delays_ns.extend(other.delays_ns);
    }

    fn add_exchange(&mut self, started_ns: u64, ended_ns: u64, events: &[Event]) {
        self.requests = self.requests.saturating_add(1);
        self.latencies_ns.push(ended_ns.saturating_sub(started_ns));
        if let Some(first) = events.first() {
            self.first_events_ns.push(first.received_ns.saturating_sub(started_ns));
        }
        self.delays_ns.extend(events.iter().filter_map(|event| event.delay_ns));
        self.events = self.events.saturating_add(u64::try_from(events.len()).unwrap_or(u64::MAX));
    }

    fn add_error(&mut self, error: ExchangeError) {
        self.errors = self.errors.saturating_add(1);
        self.last_error = Some(error);
    }
}

/// Runs `connections` loops side by side until all have ended.
pub(crate) async fn run(connections: usize, each: &ClosedLoop) -> LoadReport {
    let mut loops = JoinSet::new();
    for _ in 0..connections {
        loops.spawn(run_one(each.clone()));
    }
    let mut sum = LoadReport::default();
    while let Some(ended) = loops.join_next().await {
        if let Ok(report) = ended {
            sum.add(report);
        }
    }
    sum
}

async fn run_one(each: ClosedLoop) -> LoadReport {
    let mut report = LoadReport::default();
    let mut connection = None;
    let mut events = Vec::new();
    let mut started_ns = clock::now_ns();
    while started_ns < each.until_ns && report.requests < each.requests_max {
        events.clear();
        match exchange(&mut connection, &each, &mut events).await {
            Ok(()) => {
                let ended_ns = clock::now_ns();
                report.add_exchange(started_ns, ended_ns, &events);
                started_ns = ended_ns;
            }
            Err(error) => {
                connection = None;
                report.add_error(error);
                if report.errors >= ERRORS_MAX {
                    break;
                }
                started_ns = clock::now_ns();
            }
        }
    }
    report
}

async fn exchange(
    slot: &mut Option<Connection>,
    each: &ClosedLoop,
    events: &mut Vec<Event>,
) -> Result<(), ExchangeError> {
    let connection = match slot {
        Some(connection) => connection,
        None => slot.insert(Connection::open(each.address).await?),
    };
    connection.exchange(&each.request, events).await?;
    if connection.closes() {
        *slot = None;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::task::JoinSet;

    use super::{ClosedLoop, LoadReport, run};
    use crate::prompt::Prompt;
    use crate::target::peers::mock;
    use crate::upstream;

    const REQUESTS: u64 = 3;

    /// What two loops see of the real mock upstream.
    async fn ask(prompt: Prompt) -> LoadReport {
        let (_, target) = mock().unwrap();
        let mut servers = JoinSet::new();
        servers.spawn(upstream::serve(upstream::Args { listen: target.address, addresses: 1 }));
        target.wait_until_ready(Path::new("")).await.unwrap();
        let request = target.request(prompt, 1_024).into();
        let address = target.address;
        let each = ClosedLoop { address, request, until_ns: u64::MAX, requests_max: REQUESTS };
        run(2, &each).await
    }

    #[tokio::test]
    async fn every_request_of_every_loop_is_counted() {
        let report = ask(Prompt::Chat).await;
        assert_eq!((report.requests, report.errors, report.events), (2 * REQUESTS, 0, 0));
        assert_eq!(report.latencies_ns.len(), 6);
    }

    #[tokio::test]
    async fn every_event_but_usage_and_done_has_a_delay() {
        let report = ask(Prompt::Stream { events: 4, pause_us: 0 }).await;
        assert_eq!((report.requests, report.errors), (2 * REQUESTS, 0));
        assert_eq!(report.events, 2 * REQUESTS * (4 + 2));
        assert_eq!(report.delays_ns.len(), 24);
        assert_eq!(report.first_events_ns.len(), 6);
    }
}
