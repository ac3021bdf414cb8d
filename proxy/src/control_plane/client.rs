//! Subscribes to one replica of the operator, and reports to all of them.
//!
//! A stream is kept open to every replica. The first to open carries the subscription; when it
//! ends, another one takes over from the applied table. A proxy whose table is no basis for
//! changes requests a snapshot.

use super::{
    applier::TableApplier,
    config::ControlConfig,
    reassembly::{InvalidUpdate, UpdateAssembler},
    stream::{ControlStream, StreamError, StreamEvent, TrackedExecutor},
};
use crate::clock;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use llm_contract::{
    Chain, Table,
    push::wire::{self, report::Report},
};
use rand::seq::IteratorRandom;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, mpsc},
    task::block_in_place,
    time::{MissedTickBehavior, interval, sleep, sleep_until, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

const REPLICAS_MAX: usize = 16;
/// Keys in one report, which is the operator's limit.
const USED_KEYS_MAX: usize = 1024;
/// Events of all streams that wait to be processed.
const EVENTS_MAX: usize = 4;

struct ControlClient {
    applier: Arc<TableApplier>,
    config: Arc<ControlConfig>,
    connections: BTreeMap<SocketAddr, ReplicaConnection>,
    /// The replica whose stream carries the subscription; that stream is open.
    subscribed: Option<SocketAddr>,
    /// Whether the applied table is no basis for changes.
    needs_snapshot: bool,
    assembler: UpdateAssembler,
    /// When the subscription times out.
    deadline: Instant,
    /// Of the newest stream.
    stream_id: u64,
    events: mpsc::Sender<(u64, SocketAddr, StreamEvent)>,
    resolve_now: Arc<Notify>,
}

/// The connection to one replica, or the wait to reconnect.
struct ReplicaConnection {
    stream_id: u64,
    /// Sends reports on an open stream; and since when it is open.
    open: Option<(mpsc::Sender<wire::Report>, Instant)>,
    backoff: ExponentialBackoff,
    has_failed: bool,
    /// Ends the stream.
    _guard: DropGuard,
}

/// Runs until dropped; needs a multi-threaded runtime.
pub async fn run(applier: Arc<TableApplier>, config: ControlConfig) {
    let (event_sender, mut events) = mpsc::channel(EVENTS_MAX);
    let (address_sender, mut addresses) = mpsc::channel(1);
    let (config, resolve_now) = (Arc::new(config), Arc::new(Notify::new()));
    let resolving = resolve(Arc::clone(&config), Arc::clone(&resolve_now), address_sender);
    let mut key_usage = interval(config.timeouts.key_usage_interval);
    key_usage.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut client = ControlClient {
        assembler: UpdateAssembler::new(config.bytes_max),
        applier,
        config,
        connections: BTreeMap::new(),
        subscribed: None,
        needs_snapshot: false,
        deadline: clock::now(),
        stream_id: 0,
        events: event_sender,
        resolve_now,
    };
    let running = async {
        loop {
            let (deadline, is_subscribed) = (client.deadline.into(), client.subscribed.is_some());
            tokio::select! {
                Some((id, address, event)) = events.recv() => client.on_event(id, address, event),
                Some(resolved) = addresses.recv() => client.on_resolved(&resolved),
                () = sleep_until(deadline), if is_subscribed => client.on_timeout(),
                _ = key_usage.tick(), if is_subscribed => client.report_key_usage(),
            }
        }
    };
    tokio::select! {
        () = resolving => {}
        () = running => {}
    }
}

/// Looks up the addresses of the replicas at intervals, and whenever a stream has ended.
async fn resolve(
    config: Arc<ControlConfig>,
    now: Arc<Notify>,
    resolved: mpsc::Sender<BTreeSet<SocketAddr>>,
) {
    let timeouts = &config.timeouts;
    loop {
        match timeout(timeouts.connect, (config.resolver)()).await {
            Ok(Ok(addresses)) if !addresses.is_empty() => {
                // Fails only while the client shuts down.
                let _ = resolved.send(addresses).await;
            }
            Ok(Ok(_none)) => tracing::warn!("the operator's name has no address"),
            Ok(Err(error)) => tracing::warn!(%error, "looking up the operator's name failed"),
            Err(_elapsed) => tracing::warn!("looking up the operator's name timed out"),
        }
        sleep(timeouts.backoff_min).await;
        let _ = timeout(timeouts.resolve_interval, now.notified()).await;
    }
}

impl ControlClient {
    fn on_event(&mut self, stream_id: u64, address: SocketAddr, event: StreamEvent) {
        if self.connections.get(&address).is_none_or(|it| it.stream_id != stream_id) {
            return;
        }
        match event {
            StreamEvent::Opened(reports) => self.on_opened(address, reports),
            StreamEvent::Update(update) if self.subscribed == Some(address) => {
                self.on_update(address, update);
            }
            StreamEvent::Update(_) => tracing::debug!(%address, "ignored an unsolicited update"),
            StreamEvent::Ended(error) => self.on_ended(address, &error),
        }
    }

    fn on_resolved(&mut self, addresses: &BTreeSet<SocketAddr>) {
        self.connections.retain(|address, _| addresses.contains(address));
        if self.subscribed.is_some_and(|address| !addresses.contains(&address)) {
            self.ensure_subscribed();
        }
        for address in addresses.iter().take(REPLICAS_MAX) {
            if !self.connections.contains_key(address) {
                self.connect(*address, Duration::ZERO, self.new_backoff(), false);
            }
        }
    }

    fn on_opened(&mut self, address: SocketAddr, reports: mpsc::Sender<wire::Report>) {
        let now = clock::now();
        let follow = self.subscribed.is_none();
        if follow {
            self.subscribed = Some(address);
            self.assembler = UpdateAssembler::new(self.config.bytes_max);
            self.deadline = now + self.config.timeouts.update;
        }
        let has_table = !self.needs_snapshot && self.applier.gateway.tables.is_loaded();
        let applied = block_in_place(|| self.applier.full_report());
        let hello = wire::Hello {
            proxy: self.config.proxy.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            schema: Table::VERSION,
            follow,
            digest: if has_table { applied.digest.clone() } else { Vec::new() },
        };
        tracing::debug!(%address, follow, "a stream to the operator is open");
        for report in [Report::Hello(hello), Report::Applied(applied)] {
            // There is room: nothing was sent before.
            let _ = reports.try_send(wire::Report { report: Some(report) });
        }
        if let Some(connection) = self.connections.get_mut(&address) {
            connection.open = Some((reports, now));
        }
    }

    fn on_update(&mut self, address: SocketAddr, chunk: wire::Update) {
        self.deadline = clock::now() + self.config.timeouts.update;
        self.applier.metrics.connected.set(1);
        self.applier.metrics.last_message(clock::wall());
        // Applying many documents takes a while, which would delay requests on this thread.
        let applied = match self.assembler.add(chunk) {
            Ok(None) => return,
            Ok(Some(update)) => {
                let has_changes = !update.change.is_empty();
                let applied = block_in_place(|| self.applier.apply_update(update));
                applied.map(|report| (report, has_changes))
            }
            Err(invalid) => Err(invalid),
        };
        match applied {
            Ok((report, has_changes)) => {
                self.needs_snapshot = false;
                self.acknowledge(address, &report, has_changes);
            }
            Err(invalid) => {
                self.applier.on_invalid_update(&invalid);
                // A table that is too large would be so as a snapshot too.
                self.needs_snapshot = !matches!(invalid, InvalidUpdate::TooLarge { .. });
                self.reconnect(address);
            }
        }
    }

    /// Acknowledges an update, and reports its changes to the other replicas.
    fn acknowledge(&mut self, subscribed: SocketAddr, report: &wire::Applied, has_changes: bool) {
        let mut congested = Vec::new();
        for (address, connection) in &self.connections {
            let Some((reports, _)) = &connection.open else { continue };
            let is_subscribed = *address == subscribed;
            if !is_subscribed && !has_changes {
                continue;
            }
            let sequence = if is_subscribed { report.sequence } else { 0 };
            let report = wire::Applied { sequence, ..report.clone() };
            let sent = reports.try_send(wire::Report { report: Some(Report::Applied(report)) });
            if matches!(sent, Err(mpsc::error::TrySendError::Full(_))) {
                congested.push(*address);
            }
        }
        for address in congested {
            tracing::warn!(%address, "a replica of the operator does not read reports");
            self.reconnect(address);
        }
    }

    /// Reports to every replica; only the leader records it.
    fn report_key_usage(&self) {
        let used =
            self.applier.gateway.authenticator.key_verifier.usage.take(USED_KEYS_MAX).into_iter();
        let keys: Vec<_> =
            used.map(|(id, hour)| wire::KeyUse { id: id.to_string(), hour }).collect();
        if keys.is_empty() {
            return;
        }
        let report = wire::Report { report: Some(Report::KeyUsage(wire::KeyUsage { keys })) };
        for (reports, _) in self.connections.values().filter_map(|it| it.open.as_ref()) {
            // Best effort: a lost report is repeated when the key is used in another hour.
            let _ = reports.try_send(report.clone());
        }
    }

    fn on_ended(&mut self, address: SocketAddr, error: &StreamError) {
        let connection = self.connections.get(&address);
        let (was_open, has_failed) =
            connection.map_or((false, false), |it| (it.open.is_some(), it.has_failed));
        let is_end = matches!(error, StreamError::Ended);
        let error = Chain(error);
        if was_open && is_end {
            tracing::info!(%address, "the operator ended the stream");
        } else if has_failed {
            tracing::debug!(%address, %error, "a stream to the operator failed again");
        } else {
            tracing::warn!(%address, %error, "a stream to the operator failed");
        }
        self.reconnect(address);
        self.resolve_now.notify_one();
    }

    fn on_timeout(&mut self) {
        if let Some(address) = self.subscribed {
            let wait = self.config.timeouts.update;
            tracing::warn!(%address, "no message from the operator for {} ms", wait.as_millis());
            self.reconnect(address);
        }
    }

    /// Without a subscription, reopens one of the open streams with it.
    fn ensure_subscribed(&mut self) {
        let is_open = |address: &SocketAddr| {
            self.connections.get(address).is_some_and(|connection| connection.open.is_some())
        };
        if self.subscribed.as_ref().is_some_and(is_open) {
            return;
        }
        self.subscribed = None;
        self.applier.metrics.connected.set(0);
        let next = self.connections.keys().filter(|address| is_open(address));
        if let Some(next) = next.choose(&mut rand::rng()).copied()
            && let Some(connection) = self.connections.remove(&next)
        {
            self.connect(next, Duration::ZERO, connection.backoff, connection.has_failed);
        }
    }

    /// Replaces a stream, after a delay if it ended soon; and moves the subscription.
    fn reconnect(&mut self, address: SocketAddr) {
        if let Some(connection) = self.connections.remove(&address) {
            let reset = self.config.timeouts.backoff_reset;
            if connection.open.is_some_and(|(_, since)| since + reset <= clock::now()) {
                self.connect(address, Duration::ZERO, self.new_backoff(), false);
            } else {
                let mut backoff = connection.backoff;
                let delay = backoff.next().unwrap_or(self.config.timeouts.backoff_max);
                self.connect(address, delay, backoff, true);
            }
        }
        self.ensure_subscribed();
    }

    fn new_backoff(&self) -> ExponentialBackoff {
        let timeouts = &self.config.timeouts;
        let builder = ExponentialBuilder::new().with_min_delay(timeouts.backoff_min);
        builder.with_max_delay(timeouts.backoff_max).with_jitter().without_max_times().build()
    }

    fn connect(
        &mut self,
        address: SocketAddr,
        delay: Duration,
        backoff: ExponentialBackoff,
        has_failed: bool,
    ) {
        self.stream_id += 1;
        let stream_id = self.stream_id;
        let stream = ControlStream { id: stream_id, address, events: self.events.clone() };
        let stop = CancellationToken::new();
        let tasks = &self.applier.gateway.background;
        let (config, executor) = (Arc::clone(&self.config), TrackedExecutor(tasks.clone()));
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            sleep(delay).await;
            let error = stream.run(&config, executor).await.err().unwrap_or(StreamError::Ended);
            stream.emit(StreamEvent::Ended(error)).await;
        }));
        let _guard = stop.drop_guard();
        let connection = ReplicaConnection { stream_id, open: None, backoff, has_failed, _guard };
        self.connections.insert(address, connection);
    }
}
