//! Counts the open streams of a connection, to close it when idle.

use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

#[derive(Clone, Default)]
pub(crate) struct OpenStreams(Arc<watch::Sender<usize>>);

/// Counts as an open stream until dropped.
pub(crate) struct OpenStream(OpenStreams);

impl OpenStreams {
    pub(crate) fn open(&self) -> OpenStream {
        self.0.send_modify(|count| *count += 1);
        OpenStream(self.clone())
    }

    /// Waits until no stream has been open for this long.
    pub(crate) async fn idle(&self, wait: Duration) {
        let mut count = self.0.subscribe();
        loop {
            // Infallible: the sender is `self`.
            drop(count.wait_for(|count| *count == 0).await);
            if timeout(wait, count.wait_for(|count| 0 < *count)).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}
