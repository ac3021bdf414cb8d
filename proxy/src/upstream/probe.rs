//! Active health checks: ejected endpoints return when a probe succeeds.

use super::{Endpoint, connection::Connector};
use crate::{clock, tables::Tables};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::HeaderValue;
use std::{collections::HashSet, sync::Arc, time::Duration};

/// How often to check for probes that are due.
const INTERVAL: Duration = Duration::from_millis(250);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
const PARALLEL_MAX: usize = 16;

/// Probes ejected endpoints until the task is dropped.
pub async fn run(tables: &Tables, connector: &Connector) {
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        interval.tick().await;
        let tables = tables.snapshot();
        let now = clock::now();
        let due = tables.endpoints().filter(|endpoint| endpoint.state.health.is_probe_due(now));
        // Many routes may lead to one address.
        let mut seen = HashSet::new();
        let due = due.filter(|endpoint| seen.insert(Arc::clone(&endpoint.name)));
        stream::iter(due)
            .for_each_concurrent(PARALLEL_MAX, |endpoint| probe(endpoint, connector))
            .await;
    }
}

async fn probe(endpoint: &Arc<Endpoint>, connector: &Connector) {
    let healthy = tokio::time::timeout(PROBE_TIMEOUT, is_healthy(endpoint, connector)).await;
    if healthy == Ok(true) {
        endpoint.state.health.record_success();
        tracing::info!(server.address = &*endpoint.name, "endpoint is healthy again");
    } else {
        endpoint.state.health.record_probe_failure(clock::now());
    }
}

/// A model server that lists its models can serve them; its `/health` says less. A provider may
/// not list models to everyone: any reply but a server error will do.
async fn is_healthy(endpoint: &Endpoint, connector: &Connector) -> bool {
    let (prefix, path) = endpoint.path("/v1/models");
    let host = endpoint.host.to_str().unwrap_or_default();
    let credential = endpoint.credential.as_ref().map(|it| (it.header.name(), &it.value));
    let headers = endpoint.headers.iter().map(|(name, value)| (name.as_str(), value));
    let lines: String = credential.into_iter().chain(headers).map(line).collect();
    let head = format!("GET {prefix}{path} HTTP/1.1\r\nhost: {host}\r\n{lines}\r\n");
    let request = (head.as_bytes(), &Bytes::new());
    let Ok(mut connection) = connector.send(endpoint, request, true, clock::now()).await else {
        return false;
    };
    connection.header().await.is_ok_and(|header| !header.status.is_server_error())
}

fn line((name, value): (&str, &HeaderValue)) -> String {
    format!("{name}: {}\r\n", value.to_str().unwrap_or_default())
}
