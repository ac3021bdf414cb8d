//! How often to try again, and after how long.

use crate::{Failure, hub::Trouble, stop::Stop, tally};
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// How many times the first wait the longest one is.
const LONGEST_WAIT_TIMES: u32 = 60;
/// How many times the first wait the longest one is that the hub may ask for.
const LONGEST_WAIT_ASKED_TIMES: u32 = 300;

/// How often to try again, and after how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    /// How often.
    pub(crate) times: usize,
    /// The first wait; each is twice the one before, with jitter.
    pub(crate) first: Duration,
}

/// What is left of a [`Retry`].
#[derive(Debug)]
pub(crate) struct Patience {
    retry: Retry,
    waits: ExponentialBackoff,
    tries: usize,
}

impl Retry {
    pub(crate) fn patience(self) -> Patience {
        let waits = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(self.first)
            .with_max_delay(self.first.saturating_mul(LONGEST_WAIT_TIMES))
            .with_max_times(self.times)
            .build();
        Patience { retry: self, waits, tries: 0 }
    }
}

impl Patience {
    /// Waits until it is time to try again.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] when it is time to give up, and what `stop` says.
    pub(crate) async fn after(
        &mut self,
        trouble: Trouble,
        what: &str,
        stop: &Stop,
    ) -> Result<(), Failure> {
        self.tries += 1;
        let Some(wait) = self.waits.next() else {
            let (what, times) = (what.to_owned(), self.tries);
            return Err(Failure::Unavailable { what, times, source: trouble });
        };
        let longest = self.retry.first.saturating_mul(LONGEST_WAIT_ASKED_TIMES);
        let wait = trouble.retry_after().unwrap_or_default().min(longest).max(wait);
        tally::note(format_args!("{what}: {trouble}; trying again in {} ms", wait.as_millis()));
        stop.or(tokio::time::sleep(wait)).await
    }

    /// Begins anew, because something worked.
    pub(crate) fn renew(&mut self) {
        *self = self.retry.patience();
    }
}
