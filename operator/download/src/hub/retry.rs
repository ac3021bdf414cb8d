//! How often failed requests are retried, and after which wait.

use super::error::HubError;
use crate::output::note;
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// The longest wait, in first waits.
const WAIT_MAX: u32 = 60;
/// The longest wait that the hub may ask for, in first waits.
const RETRY_AFTER_MAX: u32 = 300;

#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    pub(crate) retries: usize,
    /// Each wait is twice the one before, with jitter.
    pub(crate) first_wait: Duration,
}

/// The state of one request's retries.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: RetryPolicy,
    waits: ExponentialBackoff,
    attempts: usize,
}

impl RetryPolicy {
    pub(crate) fn backoff(self) -> Backoff {
        let waits = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(self.first_wait)
            .with_max_delay(self.first_wait.saturating_mul(WAIT_MAX))
            .with_max_times(self.retries)
            .build();
        Backoff { policy: self, waits, attempts: 0 }
    }

    /// Repeats a request until it succeeds, or a retry is pointless.
    pub(super) async fn run<T>(
        self,
        what: &str,
        request: impl AsyncFn() -> Result<T, HubError>,
    ) -> Result<T, HubError> {
        let mut backoff = self.backoff();
        loop {
            match request().await {
                Ok(value) => return Ok(value),
                Err(error) => backoff.wait(error, what).await?,
            }
        }
    }
}

impl Backoff {
    /// Waits for the next attempt; fails if the error is permanent or there were enough attempts.
    pub(crate) async fn wait(&mut self, error: HubError, what: &str) -> Result<(), HubError> {
        if !error.is_retryable() {
            return Err(error);
        }
        self.attempts += 1;
        let Some(wait) = self.waits.next() else {
            let (what, attempts) = (what.to_owned(), self.attempts);
            return Err(HubError::Unavailable { what, attempts, source: Box::new(error) });
        };
        let longest = self.policy.first_wait.saturating_mul(RETRY_AFTER_MAX);
        let wait = error.retry_after().unwrap_or_default().min(longest).max(wait);
        note(format_args!("{what}: {error}; retrying in {} ms", wait.as_millis()));
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Starts over, because an attempt made progress.
    pub(crate) fn reset(&mut self) {
        *self = self.policy.backoff();
    }
}
