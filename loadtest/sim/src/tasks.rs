//! The one place that starts a task. The server's accept loop is the only detached
//! one; it owns its connections, so ending it ends them.

use tokio::task::AbortHandle;

/// Starts `future` on the current runtime, until it ends or the handle aborts it.
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    #[expect(clippy::disallowed_methods, reason = "this is the place that starts tasks")]
    let task = tokio::spawn(future);
    task.abort_handle()
}
