//! Polling for what happens in its own time.

use std::time::Duration;

use crate::error::ClusterError;

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Polls until the condition holds; the error says `what` was waited for.
pub async fn wait_for(
    what: &str,
    deadline: Duration,
    mut holds: impl AsyncFnMut() -> bool,
) -> Result<(), ClusterError> {
    wait_for_some(what, deadline, async || holds().await.then_some(())).await
}

/// Polls until there is something, and returns it; the error says `what` was waited for.
pub async fn wait_for_some<T>(
    what: &str,
    deadline: Duration,
    mut poll: impl AsyncFnMut() -> Option<T>,
) -> Result<T, ClusterError> {
    let found = async {
        loop {
            if let Some(found) = poll().await {
                return found;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(deadline, found)
        .await
        .map_err(|_elapsed| ClusterError::TimedOut { what: what.to_owned(), deadline })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::wait_for;

    #[tokio::test]
    async fn what_never_happens_is_named_by_the_error() {
        let error =
            wait_for("the moon is green", Duration::ZERO, async || false).await.unwrap_err();
        assert_eq!(error.to_string(), "the moon is green: not within 0ns");
    }

    #[tokio::test]
    async fn the_condition_is_polled_until_it_holds() {
        let mut polls = 0;
        let third = async || {
            polls += 1;
            polls == 3
        };
        wait_for("the third poll", Duration::from_secs(10), third).await.unwrap();
        assert_eq!(polls, 3);
    }
}
