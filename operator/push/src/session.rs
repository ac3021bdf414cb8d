//! One stream, from its first message to its end.

use crate::{
    authenticate::Peer,
    clock,
    course::Course,
    in_force::Report,
    proxies::Place,
    server::{Open, Shared},
    table::Delta,
};
use llm_contract::{
    Table,
    push::{Change, Digest, UpdateChunks, wire},
};
use prost::Message as _;
use std::{sync::Arc, time::Instant};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, sleep_until, timeout, timeout_at},
};
use tonic::{Status, Streaming};

/// Of a proxy's name and of its version.
const NAME_BYTES_MAX: usize = 253;

pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: Peer,
    pub(crate) reports: Streaming<wire::Report>,
    pub(crate) updates: mpsc::Sender<Result<wire::Update, Status>>,
    /// Keeps the connection from being idle.
    pub(crate) _open: Open,
}

impl Session {
    /// Runs until the stream ends, and says why unless that is the peer's own doing.
    pub(crate) async fn run(mut self) {
        let begin_wait = self.shared.limits.begin_wait;
        let left = self.peer.expires_at.duration_since(clock::wall());
        let age = self.shared.limits.stream_age.min(left.try_into().unwrap_or_default());
        let shared = Arc::clone(&self.shared);
        let ended = tokio::select! {
            ended = self.serve() => ended,
            // The proxy comes back with a new token, and lacks nothing then.
            () = sleep(age) => Ok(()),
            () = shared.stopping.cancelled() => {
                Err(Status::unavailable("this replica stops; follow another"))
            }
        };
        if let Err(status) = ended {
            self.shared.numbers.stream_failed();
            tracing::debug!(peer = %self.peer.who.name(), status = status.message(), "stream ended");
            // If it cannot be told, the stream ends all the same.
            let _ = timeout(begin_wait, self.updates.send(Err(status))).await;
        }
    }

    async fn serve(&mut self) -> Result<(), Status> {
        let Some(hello) = self.hello().await? else {
            return Ok(());
        };
        let digest = Digest::parse(&hello.digest).map_err(|error| invalid(&error))?;
        let joined = self.shared.proxies.join(&self.peer.who, &hello);
        let place = joined.map_err(|full| Status::resource_exhausted(full.to_string()))?;
        let (proxy, version) = (place.name(), &*hello.version);
        tracing::info!(proxy, version, peer = %self.peer.who.name(), follows = hello.follow, "joined");
        let ended = tokio::select! {
            ended = self.exchange(&place, hello.follow, digest) => ended,
            () = place.replaced.cancelled() => {
                Err(Status::aborted(format!("another stream of proxy {} began", place.name())))
            }
        };
        tracing::info!(proxy = place.name(), "left");
        ended
    }

    /// The first message; `None` if the stream ends before.
    async fn hello(&mut self) -> Result<Option<wire::Hello>, Status> {
        let wait = self.shared.limits.begin_wait;
        let first = timeout(wait, self.reports.message()).await.map_err(|_elapsed| {
            Status::deadline_exceeded(format!("no `hello` came within {wait:?}"))
        })?;
        let Some(first) = first? else { return Ok(None) };
        let Some(wire::report::Report::Hello(hello)) = first.report else {
            return Err(Status::invalid_argument("the first message of a stream is a `hello`"));
        };
        check(hello).map(Some)
    }

    /// Sends what the proxy lacks, and takes what it reports.
    async fn exchange(
        &mut self,
        place: &Place,
        follows: bool,
        digest: Option<Digest>,
    ) -> Result<(), Status> {
        let shared = Arc::clone(&self.shared);
        let (table, limits) = (&shared.table, &shared.limits);
        let mut published = table.watch();
        let mut course = Course::new(digest, clock::now());
        let mut chunks: Option<UpdateChunks> = None;
        let mut read_at = clock::now();
        loop {
            let (in_force, sent) = (course.in_force, course.sent());
            let may_begin = follows && sent.is_none() && chunks.is_none();
            let word_at = course.since + limits.word_interval;
            let answer_at = sent.unwrap_or(course.since) + limits.answer_wait;
            tokio::select! {
                report = next(&mut self.reports, read_at) => {
                    let Some(report) = report? else { return Ok(()) };
                    read_at = clock::now() + limits.report_pause;
                    self.take(report, place, follows.then_some(&mut course))?;
                }
                () = due(&mut published, in_force, word_at), if may_begin => {
                    let delta = table.since(in_force).or_else(|| in_force.map(unchanged));
                    chunks = delta.map(|delta| self.begin(delta, place, &mut course));
                }
                room = self.updates.reserve(), if chunks.is_some() => {
                    let chunk = chunks.as_mut().and_then(Iterator::next);
                    match (room, chunk) {
                        (Ok(room), Some(chunk)) => {
                            shared.numbers.sent(chunk.encoded_len());
                            room.send(Ok(chunk));
                        }
                        // All is sent; or the stream has ended, and reading from it says why.
                        (Ok(_) | Err(_), _) => chunks = None,
                    }
                }
                () = sleep_until(answer_at.into()), if sent.is_some() => {
                    let (sequence, wait) = (course.sequence, limits.answer_wait);
                    return Err(Status::deadline_exceeded(format!(
                        "update {sequence} was not answered within {wait:?}"
                    )));
                }
            }
        }
    }

    fn take(
        &self,
        report: wire::Report,
        place: &Place,
        course: Option<&mut Course>,
    ) -> Result<(), Status> {
        let report = match report.report {
            Some(wire::report::Report::InForce(report)) => report,
            Some(wire::report::Report::Used(used)) => {
                let taken = self.shared.uses.report(used, clock::wall());
                return taken.map_err(|error| invalid(&error));
            }
            Some(wire::report::Report::Hello(_)) | None => {
                let expected = "after `hello`, a report says what is in force or was used";
                return Err(Status::invalid_argument(expected));
            }
        };
        let report = Report::check(report).map_err(|error| invalid(&error))?;
        if let Some(course) = course {
            let answered = course.hears(report.sequence, report.digest, clock::now());
            let took = answered.map_err(|breach| Status::aborted(breach.to_string()))?;
            place.awaits(course.sent());
            if let Some(took) = took {
                self.shared.numbers.answered(took);
            }
        }
        if let Some((name, refused)) = report.refusals.first() {
            self.shared.numbers.refused(report.refusals.len());
            let (proxy, count, reason) = (place.name(), report.refusals.len(), &*refused.reason);
            tracing::warn!(proxy, count, first = %name, reason, "a proxy refused documents");
        }
        let sent = |name: &_| self.shared.table.hash(name);
        place.reported(report, sent).map_err(|error| invalid(&error))
    }

    fn begin(&self, delta: Delta, place: &Place, course: &mut Course) -> UpdateChunks {
        let now = clock::now();
        let sequence = course.sends(&delta, now);
        place.awaits(Some(now));
        let whole = delta.from.is_none();
        if whole || !delta.change.is_empty() {
            self.shared.numbers.update(whole);
        }
        delta.change.into_chunks(sequence, delta.from, delta.digest)
    }
}

fn check(hello: wire::Hello) -> Result<wire::Hello, Status> {
    let (ours, theirs) = (Table::VERSION, hello.schema);
    if ours != theirs {
        return Err(Status::failed_precondition(format!(
            "this operator writes schema {ours}, and proxy {} reads schema {theirs}; run the same \
             version of both",
            hello.proxy,
        )));
    }
    let plain = |text: &str| {
        let fits = !text.is_empty() && text.len() <= NAME_BYTES_MAX;
        fits && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !plain(&hello.proxy) || !plain(&hello.version) {
        return Err(Status::invalid_argument(format!(
            "`proxy` and `version` have 1 to {NAME_BYTES_MAX} visible ASCII characters"
        )));
    }
    Ok(hello)
}

/// The next report, not before it may be read.
async fn next(
    reports: &mut Streaming<wire::Report>,
    read_at: Instant,
) -> Result<Option<wire::Report>, Status> {
    sleep_until(read_at.into()).await;
    reports.message().await
}

/// Waits until the table is known, and then until it is another or a word is due.
async fn due(
    published: &mut watch::Receiver<Option<Digest>>,
    in_force: Option<Digest>,
    word_at: Instant,
) {
    // Whoever publishes outlives every stream, so neither wait fails.
    drop(published.wait_for(Option::is_some).await);
    let another = published.wait_for(|digest| *digest != in_force);
    drop(timeout_at(word_at.into(), another).await);
}

/// Says that the table is as it was.
fn unchanged(digest: Digest) -> Delta {
    Delta { from: Some(digest), digest, change: Change::default(), published: None }
}

fn invalid(error: &dyn std::error::Error) -> Status {
    Status::invalid_argument(llm_contract::Chain(error).to_string())
}
