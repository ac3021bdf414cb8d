//! When a change has reached the proxies.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::bail;

use super::gateway_client::GatewayClient;
use crate::clock;

const POLL_INTERVAL: Duration = Duration::from_millis(3);

/// When each proxy first answered this status to a request for this model.
pub async fn wait_for_status(
    proxies: &[SocketAddr],
    client: &GatewayClient,
    model: &str,
    status: u16,
    deadline: Duration,
) -> anyhow::Result<Vec<Instant>> {
    let end = clock::now() + deadline;
    let one = async |proxy: SocketAddr| {
        loop {
            let found = client.status(proxy, model).await?;
            let now = clock::now();
            if found == status {
                return Ok(now);
            }
            if end <= now {
                bail!("{proxy} still answers {found} for {model}, not {status}");
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    futures::future::try_join_all(proxies.iter().map(|proxy| one(*proxy))).await
}
