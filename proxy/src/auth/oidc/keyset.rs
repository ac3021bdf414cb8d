//! One issuer's keys over time: who may cause a look-up, who waits for it, what is in force.
//!
//! One task does every look-up of an issuer, so there never are two at once. A request whose
//! key is unknown asks for one and waits for the number of a look-up, not for a lock.

use super::{
    Refused,
    fetch::{FetchError, Source},
    jwk::{InvalidKeys, Keys},
};
use arc_swap::ArcSwapOption;
use std::{error::Error, sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};

/// How often keys are fetched when nobody asks.
pub(super) const REFRESH_PERIOD: Duration = Duration::from_secs(300);
/// How long to wait after the first failed look-up; doubles with each one that follows.
pub(super) const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest wait after a failed look-up.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How often unknown keys may cause a look-up, in the long run.
pub(super) const LOOKUP_INTERVAL: Duration = Duration::from_secs(10);
/// How many look-ups unknown keys may cause at once: one may be spent on a stranger's
/// nonsense just before a rotation.
pub(super) const LOOKUP_BURST: u32 = 2;

/// One issuer's keys.
#[derive(Debug)]
pub(super) struct Keyset {
    in_force: ArcSwapOption<Keys>,
    lookups: watch::Sender<Lookups>,
}

/// What is known about look-ups. They are numbered from 1.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lookups {
    started: u64,
    finished: u64,
    /// Whether the last one that finished failed.
    failed: bool,
    /// When the next one would be due if they came evenly spaced, since 1970. One that comes
    /// less than a burst early is allowed (the generic cell rate algorithm).
    due: Duration,
}

/// The answer to a request for a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Look-up of this number will be made, because of this request.
    Started(u64),
    /// Look-up of this number is under way; it may have begun before the key was published.
    Joined(u64),
    /// There have been enough lately.
    Limited,
}

#[derive(Debug, thiserror::Error)]
enum LookupError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Keys(#[from] InvalidKeys),
}

impl Keyset {
    /// A set that starts with these keys, or with none until the first look-up.
    pub(super) fn new(keys: Option<Keys>) -> Self {
        let in_force = ArcSwapOption::from_pointee(keys);
        Self { in_force, lookups: watch::Sender::default() }
    }

    /// The keys in force; none until the first good look-up.
    pub(super) fn keys(&self) -> Option<Arc<Keys>> {
        self.in_force.load_full()
    }

    /// Puts no keys in force: the issuer is not trusted any more.
    pub(super) fn clear(&self) {
        self.in_force.store(None);
    }

    /// Asks for a look-up because of an unknown key, at `now`, since 1970.
    pub(super) fn ask(&self, now: Duration) -> Asked {
        let mut asked = Asked::Limited;
        self.lookups.send_if_modified(|lookups| {
            asked = lookups.ask(now);
            matches!(asked, Asked::Started(_))
        });
        asked
    }

    /// Waits until the look-up of that number has finished.
    ///
    /// # Errors
    /// [`Refused::KeysUnavailable`]: it failed.
    pub(super) async fn finished(&self, number: u64) -> Result<(), Refused> {
        let mut lookups = self.lookups.subscribe();
        match lookups.wait_for(|lookups| number <= lookups.finished).await {
            Ok(lookups) if !lookups.failed => Ok(()),
            Ok(_) | Err(_) => Err(Refused::KeysUnavailable),
        }
    }

    /// Makes every look-up: one now, one a period, one when asked, and more after a failure.
    pub(super) async fn keep_fresh(self: Arc<Self>, source: Source) {
        let mut retry = RETRY_MIN;
        let mut failing = false;
        loop {
            self.lookups.send_modify(Lookups::begin);
            let looked_up = self.look_up(&source).await;
            let failed = looked_up.is_err();
            self.lookups.send_modify(|lookups| lookups.finish(failed));
            let pause = match looked_up {
                Ok(()) => {
                    retry = RETRY_MIN;
                    REFRESH_PERIOD
                }
                Err(error) => {
                    report(&error, &source, failing);
                    let pause = retry;
                    retry = RETRY_MAX.min(retry * 2);
                    pause
                }
            };
            failing = failed;
            let mut lookups = self.lookups.subscribe();
            tokio::select! {
                () = sleep(pause) => {}
                _ = lookups.wait_for(Lookups::is_under_way) => {}
            }
        }
    }

    /// Makes one look-up; what it brings is in force when this returns.
    async fn look_up(&self, source: &Source) -> Result<(), LookupError> {
        let document = source.jwks().await?;
        let keys = Keys::parse(&document, self.keys().as_deref())?;
        self.in_force.store(Some(Arc::new(keys)));
        Ok(())
    }
}

impl Lookups {
    pub(super) fn ask(&mut self, now: Duration) -> Asked {
        if self.is_under_way() {
            return Asked::Joined(self.started);
        }
        let ahead = LOOKUP_INTERVAL * (LOOKUP_BURST - 1);
        // Further ahead than a whole burst is only possible if the clock was set back.
        if self.due > now + ahead + LOOKUP_INTERVAL {
            self.due = now;
        }
        if self.due > now + ahead {
            return Asked::Limited;
        }
        self.due = self.due.max(now) + LOOKUP_INTERVAL;
        self.started += 1;
        Asked::Started(self.started)
    }

    /// Begins the look-up that was asked for, or else one of our own.
    fn begin(&mut self) {
        if !self.is_under_way() {
            self.started += 1;
        }
    }

    pub(super) fn finish(&mut self, failed: bool) {
        self.finished = self.started;
        self.failed = failed;
    }

    fn is_under_way(&self) -> bool {
        self.finished < self.started
    }
}

/// Says that keys could not be fetched: loudly once, then only for those who look closely.
fn report(error: &LookupError, source: &Source, again: bool) {
    let issuer = source.issuer();
    let error: &(dyn Error + 'static) = error;
    if again {
        tracing::debug!(issuer, error, "fetching the keys of an issuer failed again");
        return;
    }
    tracing::warn!(issuer, error, "fetching the keys of an issuer failed; the last good ones stay");
}

#[cfg(test)]
impl Keyset {
    /// The number of look-ups that came to an end.
    pub(super) fn finished_lookups(&self) -> u64 {
        self.lookups.borrow().finished
    }

    /// Whether a request waits for a look-up that is under way. The task itself listens only between look-ups.
    pub(super) fn is_waited_for(&self) -> bool {
        self.lookups.borrow().is_under_way() && 0 < self.lookups.receiver_count()
    }
}
