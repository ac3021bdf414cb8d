//! Looks after endpoints that were left alone: they come back when they answer again.

use super::Endpoint;
use crate::{clock, tables::Tables, upstream::connection::Connector};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::HeaderValue;
use std::{collections::HashSet, sync::Arc, time::Duration};

/// How often to look whether a probe is due.
const ROUND: Duration = Duration::from_millis(250);
/// How long a probe may take.
const WAIT: Duration = Duration::from_secs(5);
/// Probes at a time.
const PARALLEL_MAX: usize = 16;

/// Probes endpoints that were left alone, until the task is dropped.
pub async fn run(tables: &Tables, connector: &Connector) {
    let mut rounds = tokio::time::interval(ROUND);
    loop {
        rounds.tick().await;
        let tables = tables.snapshot();
        let now = clock::now();
        let due = tables.endpoints().filter(|endpoint| endpoint.state.health.wants_probe(now));
        // Many routes may lead to one address.
        let mut seen = HashSet::new();
        let due = due.filter(|endpoint| seen.insert(Arc::clone(&endpoint.name)));
        stream::iter(due)
            .for_each_concurrent(PARALLEL_MAX, |endpoint| probe(endpoint, connector))
            .await;
    }
}

async fn probe(endpoint: &Arc<Endpoint>, connector: &Connector) {
    let answered = tokio::time::timeout(WAIT, ask(endpoint, connector)).await;
    if answered == Ok(true) {
        endpoint.state.health.succeeded();
        tracing::info!(server.address = &*endpoint.name, "an endpoint is back");
    } else {
        endpoint.state.health.probe_failed(clock::now());
    }
}

/// A model server that lists its models can serve them; its `/health` says less. Of a provider
/// any answer will do that is not a server error: it may not list models to everyone.
async fn ask(endpoint: &Endpoint, connector: &Connector) -> bool {
    let (prefix, skipped) = endpoint.path("/v1/models");
    let path = "/v1/models".get(skipped..).unwrap_or_default();
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
