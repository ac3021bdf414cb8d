//! One issuer's key set: cached, refreshed periodically and when a key is unknown.
//!
//! One task does every refresh of an issuer, so there never are two at once. A request whose
//! key is unknown requests one and waits for the refresh of that number, not for a lock.

use super::{
    TokenError,
    discovery::{DiscoveryClient, FetchError},
    jwk::{InvalidJwks, Jwks},
};
use arc_swap::ArcSwapOption;
use std::{error::Error, mem, sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};

pub(super) const REFRESH_PERIOD: Duration = Duration::from_secs(300);
/// How long to wait after the first failed refresh; doubles with each one that follows.
pub(super) const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How often unknown keys may force a refresh, in the long run.
pub(super) const FORCED_REFRESH_INTERVAL: Duration = Duration::from_secs(10);
/// How many refreshes unknown keys may force in a row: one may be spent on a made-up key just
/// before a rotation.
pub(super) const FORCED_REFRESH_BURST: u32 = 2;

#[derive(Debug)]
pub(super) struct JwksCache {
    in_force: ArcSwapOption<Jwks>,
    state: watch::Sender<RefreshState>,
}

/// Refreshes so far. They are numbered from 1.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RefreshState {
    started: u64,
    finished: u64,
    last_failed: bool,
    /// When the next forced one would be due if they were evenly spaced, since 1970. One less
    /// than a burst early is allowed (the generic cell rate algorithm).
    due: Duration,
}

/// What became of a request for a refresh, with the number of that refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefreshRequest {
    Started(u64),
    /// It was under way, and may have begun before the key was published.
    Joined(u64),
    Limited,
}

#[derive(Debug, thiserror::Error)]
enum RefreshError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Keys(#[from] InvalidJwks),
}

impl JwksCache {
    pub(super) fn new(keys: Option<Jwks>) -> Self {
        Self { in_force: ArcSwapOption::from_pointee(keys), state: watch::Sender::default() }
    }

    /// The keys in force; none until the first refresh that succeeds.
    pub(super) fn load(&self) -> Option<Arc<Jwks>> {
        self.in_force.load_full()
    }

    /// Removes all keys: the issuer is no longer trusted.
    pub(super) fn clear(&self) {
        self.in_force.store(None);
    }

    /// Requests a refresh because of an unknown key; `now` counts from 1970.
    pub(super) fn request_refresh(&self, now: Duration) -> RefreshRequest {
        let mut request = RefreshRequest::Limited;
        self.state.send_if_modified(|state| {
            request = state.request(now);
            matches!(request, RefreshRequest::Started(_))
        });
        request
    }

    pub(super) async fn wait_for_refresh(&self, number: u64) -> Result<(), TokenError> {
        let mut state = self.state.subscribe();
        match state.wait_for(|state| number <= state.finished).await {
            Ok(state) if !state.last_failed => Ok(()),
            Ok(_) | Err(_) => Err(TokenError::KeysUnavailable),
        }
    }

    /// Refreshes now, once a period, on request, and sooner after a failure.
    pub(super) async fn refresh_forever(self: Arc<Self>, client: DiscoveryClient) {
        let mut retry = RETRY_MIN;
        loop {
            self.state.send_modify(RefreshState::begin);
            let refreshed = self.refresh(&client).await;
            self.state.send_modify(|state| state.finish(refreshed.is_err()));
            let pause = match refreshed {
                Ok(()) => {
                    retry = RETRY_MIN;
                    REFRESH_PERIOD
                }
                Err(error) => {
                    log_failure(&error, client.issuer(), RETRY_MIN < retry);
                    let doubled = RETRY_MAX.min(retry * 2);
                    mem::replace(&mut retry, doubled)
                }
            };
            let mut state = self.state.subscribe();
            tokio::select! {
                () = sleep(pause) => {}
                _ = state.wait_for(RefreshState::is_under_way) => {}
            }
        }
    }

    async fn refresh(&self, client: &DiscoveryClient) -> Result<(), RefreshError> {
        let document = client.fetch_jwks().await?;
        let keys = Jwks::parse(&document, self.load().as_deref())?;
        self.in_force.store(Some(Arc::new(keys)));
        Ok(())
    }
}

impl RefreshState {
    pub(super) fn request(&mut self, now: Duration) -> RefreshRequest {
        if self.is_under_way() {
            return RefreshRequest::Joined(self.started);
        }
        let ahead = FORCED_REFRESH_INTERVAL * (FORCED_REFRESH_BURST - 1);
        // Further ahead than a whole burst is only possible if the clock was set back.
        if self.due > now + ahead + FORCED_REFRESH_INTERVAL {
            self.due = now;
        }
        if self.due > now + ahead {
            return RefreshRequest::Limited;
        }
        self.due = self.due.max(now) + FORCED_REFRESH_INTERVAL;
        self.started += 1;
        RefreshRequest::Started(self.started)
    }

    /// Begins the requested refresh, or else a periodic one.
    fn begin(&mut self) {
        if !self.is_under_way() {
            self.started += 1;
        }
    }

    pub(super) fn finish(&mut self, failed: bool) {
        self.finished = self.started;
        self.last_failed = failed;
    }

    fn is_under_way(&self) -> bool {
        self.finished < self.started
    }
}

/// Warns once per outage.
fn log_failure(error: &RefreshError, issuer: &str, again: bool) {
    let error: &(dyn Error + 'static) = error;
    if again {
        tracing::debug!(issuer, error, "fetching an issuer's keys failed again");
    } else {
        tracing::warn!(issuer, error, "fetching an issuer's keys failed; the last good ones stay");
    }
}

#[cfg(test)]
impl JwksCache {
    pub(super) fn finished_refreshes(&self) -> u64 {
        self.state.borrow().finished
    }

    /// Whether a request waits for a refresh under way. The task itself listens only between refreshes.
    pub(super) fn is_waited_for(&self) -> bool {
        self.state.borrow().is_under_way() && 0 < self.state.receiver_count()
    }
}
