//! Follows the operator: one of its replicas sends the table and what changes in it; all are told
//! what is in force.
//!
//! A stream is kept to every replica. The first that is there while none is followed is followed;
//! when it goes away another one is at once, from the table that is in force. A proxy that cannot
//! go on from there asks for the whole table.

use super::{
    Feed,
    address::{Address, LookUp},
    link::{Heard, Link, LinkError},
    parts::{InvalidUpdate, Parts},
};
use crate::clock;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use llm_contract::{Chain, Table, push::wire};
use rand::seq::IteratorRandom;
use rustls::pki_types::ServerName;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, mpsc},
    task::block_in_place,
    time::{MissedTickBehavior, interval, sleep, sleep_until, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Replicas that are spoken with.
const REPLICAS_MAX: usize = 16;
/// Keys in one report of uses, as the operator takes it.
const USES_MAX: usize = 1024;
/// What was heard and waits; then streams wait.
const HEARD_MAX: usize = 4;

/// Where the operator is, and how to speak with it.
#[derive(Clone)]
pub struct Control {
    /// Where.
    pub address: Address,
    /// Where its replicas are.
    pub replicas: LookUp,
    /// What its certificate says.
    pub server_name: ServerName<'static>,
    /// Certificates in PEM that vouch for it; the system's if there are none.
    pub authorities: Option<PathBuf>,
    /// What we show.
    pub token: Option<PathBuf>,
    /// Our name.
    pub proxy: String,
    /// How long to wait.
    pub waits: Waits,
    /// The largest table, in bytes.
    pub bytes_max: usize,
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For a connection, and again for TLS on it.
    pub connect: Duration,
    /// For a stream to be taken, after it began.
    pub answer: Duration,
    /// Until the first try after one that failed; doubled with each, and up to as long again at random.
    pub retry_min: Duration,
    /// The most that is doubled to.
    pub retry_max: Duration,
    /// A stream that lasts as long has not failed.
    pub settled: Duration,
    /// Between pings, and for the answer to one.
    pub ping: Duration,
    /// For a word of the replica that is followed: it sends one every ten seconds.
    pub silence: Duration,
    /// Between looks at what addresses the name has.
    pub resolve: Duration,
    /// Between reports of which keys were used.
    pub uses: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(15),
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(5),
            settled: Duration::from_secs(5),
            ping: Duration::from_secs(10),
            silence: Duration::from_secs(45),
            resolve: Duration::from_secs(10),
            uses: Duration::from_secs(30),
        }
    }
}

/// Follows the operator for as long as it is awaited, on a runtime of several threads.
pub async fn follow(feed: Arc<Feed>, control: Control) {
    let (sender, mut heard) = mpsc::channel(HEARD_MAX);
    let (found, mut addresses) = mpsc::channel(1);
    let control = Arc::new(control);
    let look_again = Arc::new(Notify::new());
    let looking = look(Arc::clone(&control), Arc::clone(&look_again), found);
    let following = async {
        let mut course = Course {
            parts: Parts::new(control.bytes_max),
            feed,
            control: Arc::clone(&control),
            replicas: BTreeMap::new(),
            followed: None,
            wants_whole: false,
            silent_at: clock::now(),
            links: 0,
            heard: sender,
            look_again,
        };
        let mut uses = interval(control.waits.uses);
        uses.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let silent_at = course.silent_at.into();
            tokio::select! {
                Some((link, address, heard)) = heard.recv() => course.hear(link, address, heard),
                Some(found) = addresses.recv() => course.found(&found),
                () = sleep_until(silent_at), if course.followed.is_some() => course.silence(),
                _ = uses.tick(), if course.followed.is_some() => course.tell_uses(),
            }
        }
    };
    tokio::select! {
        () = looking => {}
        () = following => {}
    }
}

/// Looks up where the replicas are, every now and then and when one has gone.
async fn look(
    control: Arc<Control>,
    again: Arc<Notify>,
    found: mpsc::Sender<BTreeSet<SocketAddr>>,
) {
    let waits = &control.waits;
    loop {
        match timeout(waits.connect, (control.replicas)()).await {
            Ok(Ok(addresses)) if !addresses.is_empty() => {
                // Nobody listens any more when the whole following ends.
                let _ = found.send(addresses).await;
            }
            Ok(Ok(_none)) => tracing::warn!("the operator's name has no address"),
            Ok(Err(error)) => tracing::warn!(%error, "the operator's name could not be looked up"),
            Err(_elapsed) => tracing::warn!("looking up the operator's name took too long"),
        }
        sleep(waits.retry_min).await;
        let _ = timeout(waits.resolve, again.notified()).await;
    }
}

/// Where the following is.
struct Course {
    feed: Arc<Feed>,
    control: Arc<Control>,
    replicas: BTreeMap<SocketAddr, Replica>,
    /// The one that sends updates; its stream is open.
    followed: Option<SocketAddr>,
    /// What is in force is no basis for changes.
    wants_whole: bool,
    parts: Parts,
    /// When the followed one has said nothing for too long.
    silent_at: Instant,
    /// How many streams there have been.
    links: u64,
    heard: mpsc::Sender<(u64, SocketAddr, Heard)>,
    look_again: Arc<Notify>,
}

struct Replica {
    link: u64,
    /// Its stream, if one is open, and since when.
    open: Option<(mpsc::Sender<wire::Report>, Instant)>,
    retries: ExponentialBackoff,
    has_failed: bool,
    /// Ends the stream.
    _running: DropGuard,
}

impl Course {
    fn hear(&mut self, link: u64, address: SocketAddr, heard: Heard) {
        let current = self.replicas.get(&address).is_some_and(|replica| replica.link == link);
        if !current {
            return;
        }
        match heard {
            Heard::Open(reports) => self.opened(address, reports),
            Heard::Said(update) if self.followed == Some(address) => self.said(address, update),
            Heard::Said(_) => tracing::debug!(%address, "an update nobody asked for was ignored"),
            Heard::Ended(why) => self.ended(address, &why),
        }
    }

    fn found(&mut self, addresses: &BTreeSet<SocketAddr>) {
        self.replicas.retain(|address, _| addresses.contains(address));
        if self.followed.is_some_and(|followed| !addresses.contains(&followed)) {
            self.follow_another();
        }
        for address in addresses.iter().take(REPLICAS_MAX) {
            if !self.replicas.contains_key(address) {
                let retries = self.retries();
                self.begin(*address, Duration::ZERO, retries, false);
            }
        }
    }

    fn opened(&mut self, address: SocketAddr, reports: mpsc::Sender<wire::Report>) {
        let now = clock::now();
        let follow = self.followed.is_none();
        if follow {
            self.followed = Some(address);
            self.parts = Parts::new(self.control.bytes_max);
            self.silent_at = now + self.control.waits.silence;
        }
        let known = !(self.wants_whole || self.feed.shared.tables.is_empty());
        let everything = block_in_place(|| self.feed.everything());
        let hello = wire::Hello {
            proxy: self.control.proxy.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            schema: Table::VERSION,
            follow,
            digest: if known { everything.digest.clone() } else { Vec::new() },
        };
        tracing::debug!(%address, follow, "a stream to the operator begins");
        for report in
            [wire::report::Report::Hello(hello), wire::report::Report::InForce(everything)]
        {
            // There is room: nothing was sent before.
            let _ = reports.try_send(wire::Report { report: Some(report) });
        }
        if let Some(replica) = self.replicas.get_mut(&address) {
            replica.open = Some((reports, now));
        }
    }

    fn said(&mut self, address: SocketAddr, update: wire::Update) {
        self.silent_at = clock::now() + self.control.waits.silence;
        self.feed.heard(clock::wall());
        let update = match self.parts.add(update) {
            Ok(None) => return,
            Ok(Some(update)) => Ok(update),
            Err(invalid) => Err(invalid),
        };
        let is_news = update.as_ref().is_ok_and(|it| !it.change.is_empty());
        // Reading many documents takes a while, and is not for a thread that serves requests.
        match update.and_then(|update| block_in_place(|| self.feed.take(update))) {
            Ok(report) => {
                self.wants_whole = false;
                self.report(address, &report, is_news);
            }
            Err(invalid) => {
                self.feed.refused(&invalid);
                // A table that is too large is so as a whole too.
                self.wants_whole = !matches!(invalid, InvalidUpdate::TooLarge { .. });
                self.again(address);
                self.follow_another();
            }
        }
    }

    /// Answers an update, and tells the others what it changed.
    fn report(&mut self, answered: SocketAddr, report: &wire::InForce, is_news: bool) {
        let mut left = Vec::new();
        for (address, replica) in &self.replicas {
            let answer = match &replica.open {
                Some(_) if *address == answered => report.clone(),
                Some(_) if is_news => wire::InForce { sequence: 0, ..report.clone() },
                Some(_) | None => continue,
            };
            let answer = wire::Report { report: Some(wire::report::Report::InForce(answer)) };
            let sent = replica.open.as_ref().map(|(reports, _)| reports.try_send(answer));
            if matches!(sent, Some(Err(mpsc::error::TrySendError::Full(_)))) {
                left.push(*address);
            }
        }
        for address in left {
            tracing::warn!(%address, "a replica of the operator does not take reports");
            self.again(address);
        }
        self.follow_another();
    }

    /// Tells every replica which keys were used; the one that leads writes it down.
    fn tell_uses(&self) {
        let used = self.feed.uses().take(USES_MAX).into_iter();
        let keys: Vec<_> =
            used.map(|(id, hour)| wire::KeyUse { id: id.to_string(), hour }).collect();
        if keys.is_empty() {
            return;
        }
        let report = wire::Report { report: Some(wire::report::Report::Used(wire::Used { keys })) };
        for (reports, _) in self.replicas.values().filter_map(|replica| replica.open.as_ref()) {
            // What does not get through is said again in an hour, if the key is used then.
            let _ = reports.try_send(report.clone());
        }
    }

    fn ended(&mut self, address: SocketAddr, why: &LinkError) {
        let replica = self.replicas.get(&address);
        let (was_open, has_failed) =
            replica.map_or((false, false), |it| (it.open.is_some(), it.has_failed));
        let error = Chain(why);
        if was_open && matches!(why, LinkError::Ended) {
            tracing::info!(%address, "the operator ended the stream");
        } else if has_failed {
            tracing::debug!(%address, %error, "a stream to the operator failed again");
        } else {
            tracing::warn!(%address, %error, "a stream to the operator failed");
        }
        self.again(address);
        self.follow_another();
        self.look_again.notify_one();
    }

    fn silence(&mut self) {
        if let Some(address) = self.followed {
            let wait = self.control.waits.silence;
            tracing::warn!(%address, "the operator has said nothing for {} ms", wait.as_millis());
            self.again(address);
            self.follow_another();
        }
    }

    /// If none is followed: has one that is there begin anew, as the one that is.
    fn follow_another(&mut self) {
        let is_open = |address: &SocketAddr| {
            self.replicas.get(address).is_some_and(|replica| replica.open.is_some())
        };
        if self.followed.as_ref().is_some_and(is_open) {
            return;
        }
        self.followed = None;
        self.feed.meters.connected.set(0);
        let next = self.replicas.keys().filter(|address| is_open(address));
        if let Some(next) = next.choose(&mut rand::rng()).copied()
            && let Some(replica) = self.replicas.remove(&next)
        {
            self.begin(next, Duration::ZERO, replica.retries, replica.has_failed);
        }
    }

    /// Ends a stream and begins another one, after a while if it had failed soon.
    fn again(&mut self, address: SocketAddr) {
        let Some(replica) = self.replicas.remove(&address) else {
            return;
        };
        let settled = self.control.waits.settled;
        let has_lasted = |(_, since): &(_, Instant)| *since + settled <= clock::now();
        if replica.open.as_ref().is_some_and(has_lasted) {
            return self.begin(address, Duration::ZERO, self.retries(), false);
        }
        let mut retries = replica.retries;
        let delay = retries.next().unwrap_or(self.control.waits.retry_max);
        self.begin(address, delay, retries, true);
    }

    fn retries(&self) -> ExponentialBackoff {
        let Waits { retry_min, retry_max, .. } = self.control.waits;
        let retries = ExponentialBuilder::new().with_min_delay(retry_min).with_max_delay(retry_max);
        retries.with_jitter().without_max_times().build()
    }

    fn begin(
        &mut self,
        address: SocketAddr,
        delay: Duration,
        retries: ExponentialBackoff,
        has_failed: bool,
    ) {
        self.links += 1;
        let link = Link { number: self.links, address, heard: self.heard.clone() };
        let running = CancellationToken::new();
        let (stopped, control) = (running.clone(), Arc::clone(&self.control));
        let tasks = self.feed.shared.background.clone();
        self.feed.shared.background.spawn(async move {
            let run = async {
                sleep(delay).await;
                let why = link.run(&control, &tasks).await;
                link.say(Heard::Ended(why)).await;
            };
            tokio::select! {
                () = run => {}
                () = stopped.cancelled() => {}
            }
        });
        let _running = running.drop_guard();
        let link = self.links;
        let replica = Replica { link, open: None, retries, has_failed, _running };
        self.replicas.insert(address, replica);
    }
}
