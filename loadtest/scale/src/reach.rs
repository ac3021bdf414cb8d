//! When a change has reached the proxies.

use crate::{caller::Caller, clock};
use anyhow::bail;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Between two looks at a proxy.
const LOOK: Duration = Duration::from_millis(3);

/// When each proxy first gave a caller who asks for this model this status.
///
/// # Errors
/// If one does not by the deadline.
pub async fn reach(
    proxies: &[SocketAddr],
    caller: &Caller,
    model: &str,
    status: u16,
    deadline: Duration,
) -> anyhow::Result<Vec<Instant>> {
    let end = clock::now() + deadline;
    let one = async |proxy: SocketAddr| {
        loop {
            let found = caller.status(proxy, model).await?;
            let now = clock::now();
            if found == status {
                return Ok(now);
            }
            if end <= now {
                bail!("{proxy} still answers {found} for {model}, not {status}");
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    futures::future::try_join_all(proxies.iter().map(|proxy| one(*proxy))).await
}
