//! Waiting for what a cluster does in its own time.

use std::time::Duration;

use crate::error::ClusterError;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Looks again and again until the condition holds.
///
/// # Errors
/// When it does not hold within the deadline; the error says `what` was waited for.
pub async fn wait_for(
    what: &str,
    deadline: Duration,
    mut holds: impl AsyncFnMut() -> bool,
) -> Result<(), ClusterError> {
    wait_for_some(what, deadline, async || holds().await.then_some(())).await
}

/// Looks again and again until there is something, and returns it.
///
/// # Errors
/// When there is nothing within the deadline; the error says `what` was waited for.
pub async fn wait_for_some<T>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Result<T, ClusterError> {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
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
    async fn the_condition_is_looked_at_until_it_holds() {
        let mut looks = 0;
        let third = async || {
            looks += 1;
            looks == 3
        };
        wait_for("the third look", Duration::from_secs(10), third).await.unwrap();
        assert_eq!(looks, 3);
    }
}
