//! Being told to stop, by a signal or because the lock is lost.

use crate::Failure;
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// Whether to stop, and why. Cheap to clone; a child stops with its parent, and alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    token: CancellationToken,
    cause: Arc<OnceLock<Cause>>,
}

/// Why to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// We were told to.
    Signal,
    /// The volume has another writer.
    LostLock,
}

impl Stop {
    /// Tells everyone to stop; the first cause is the one that counts.
    pub(crate) fn because(&self, cause: Cause) {
        let _ = self.cause.set(cause);
        self.token.cancel();
    }

    /// A part of the work that can be stopped alone.
    pub(crate) fn child(&self) -> Self {
        Self { token: self.token.child_token(), cause: Arc::clone(&self.cause) }
    }

    /// Stops a part of the work because another part failed.
    pub(crate) fn cut(&self) {
        self.token.cancel();
    }

    /// Passes unless it is time to stop.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.token.is_cancelled() { Err(self.failure()) } else { Ok(()) }
    }

    /// What `work` comes to, unless we are to stop before.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.token.cancelled() => Err(self.failure()),
            done = work => Ok(done),
        }
    }

    fn failure(&self) -> Failure {
        match self.cause.get() {
            Some(Cause::LostLock) => Failure::LostLock,
            Some(Cause::Signal) | None => Failure::Stopped,
        }
    }
}
