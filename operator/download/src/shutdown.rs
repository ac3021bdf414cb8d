//! Graceful shutdown, on a signal or because the lock is lost.

use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// A request to shut down, and its cause. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shutdown {
    token: CancellationToken,
    cause: Arc<OnceLock<ShutdownError>>,
}

/// Why work was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShutdownError {
    #[error("stopped by a signal; partial files are kept, and the next start resumes them")]
    Signal,
    #[error(
        "another process has taken over the volume because this one showed no sign of life for \
         too long; the other one carries on, and the next start of this one uses its files"
    )]
    LostLock,
}

impl Shutdown {
    /// Shuts everything down; only the first cause is reported.
    pub(crate) fn trigger(&self, cause: ShutdownError) {
        let _ = self.cause.set(cause);
        self.token.cancel();
    }

    /// Shuts down with its parent, or alone.
    pub(crate) fn child(&self) -> Self {
        Self { token: self.token.child_token(), cause: Arc::clone(&self.cause) }
    }

    /// Stops this part of the work because another part of it failed.
    pub(crate) fn cancel(&self) {
        self.token.cancel();
    }

    pub(crate) fn check(&self) -> Result<(), ShutdownError> {
        if self.token.is_cancelled() { Err(self.error()) } else { Ok(()) }
    }

    /// Runs `work` until it is done or shutdown begins.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, ShutdownError> {
        self.token.run_until_cancelled(work).await.ok_or_else(|| self.error())
    }

    fn error(&self) -> ShutdownError {
        self.cause.get().copied().unwrap_or(ShutdownError::Signal)
    }
}
