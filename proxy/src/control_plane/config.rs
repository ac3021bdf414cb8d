//! Where the operator is and how to connect to it.

use super::address::{Address, Resolver};
use rustls::pki_types::ServerName;
use std::{path::PathBuf, time::Duration};

#[derive(Clone)]
pub struct ControlConfig {
    pub address: Address,
    /// Finds the operator's replicas.
    pub resolver: Resolver,
    /// The name in the operator's certificate.
    pub server_name: ServerName<'static>,
    /// Root certificates in PEM; the system's if absent. Read for each connection.
    pub authorities: Option<PathBuf>,
    /// A bearer token. Read for each connection.
    pub token: Option<PathBuf>,
    /// The name of this proxy.
    pub proxy: String,
    pub timeouts: ControlTimeouts,
    /// The largest table, in bytes.
    pub bytes_max: usize,
}

#[derive(Clone, Copy, Debug)]
pub struct ControlTimeouts {
    /// For DNS, TCP and TLS each.
    pub connect: Duration,
    /// For the response that opens a stream.
    pub response: Duration,
    /// Initial delay of reconnects; doubled with each failure, plus jitter.
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    /// A stream of this age resets the backoff.
    pub backoff_reset: Duration,
    /// Between HTTP/2 pings, and for the answer to one.
    pub ping: Duration,
    /// For the next message of the subscription: the operator sends heartbeats every 10 s.
    pub update: Duration,
    /// Between DNS lookups.
    pub resolve_interval: Duration,
    /// Between reports of key usage.
    pub key_usage_interval: Duration,
}

impl Default for ControlTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(15),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            backoff_reset: Duration::from_secs(5),
            ping: Duration::from_secs(10),
            update: Duration::from_secs(45),
            resolve_interval: Duration::from_secs(10),
            key_usage_interval: Duration::from_secs(30),
        }
    }
}
