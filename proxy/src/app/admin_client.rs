//! A client for the admin listener of a running gateway.

use super::http_client;
use llm_cli::AdminAddress;
use reqwest::Response;
use serde::de::DeserializeOwned;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
#[error("no answer from the gateway at {address}; is it running, with this admin address?")]
pub struct AdminError {
    address: AdminAddress,
    source: reqwest::Error,
}

/// Gets JSON from a path such as `/table`.
pub async fn get<T: DeserializeOwned>(
    address: &AdminAddress,
    path: &str,
    query: &[(&str, &str)],
) -> Result<T, AdminError> {
    // The message names the address already.
    let failed = |error: reqwest::Error| AdminError {
        address: address.clone(),
        source: error.without_url(),
    };
    let client = http_client::client(address.scheme()).map_err(failed)?;
    let response = client.get(address.url(path)).query(query).timeout(TIMEOUT).send().await;
    let response = response.and_then(Response::error_for_status).map_err(failed)?;
    response.json().await.map_err(failed)
}

/// The address at which a client on this machine reaches a listener.
pub fn local_address(mut listener: SocketAddr) -> SocketAddr {
    if listener.ip().is_unspecified() {
        listener.set_ip(match listener.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listener
}
