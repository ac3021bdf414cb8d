//! Health, metrics and proxy status, on a listener of their own.

use crate::{app::metrics::Metrics, cluster_state::ClusterState};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use llm_push::Push;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Clone)]
pub struct Admin {
    pub metrics: Arc<Metrics>,
    pub cluster: Arc<ClusterState>,
    pub push: Push,
}

pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/proxies", get(proxies))
        .with_state(admin)
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    let is_synced = *admin.cluster.synced.borrow();
    readiness(is_synced, admin.push.is_serving())
}

/// Ready when everything was listed once, so that the whole table can be pushed, and proxies can
/// connect.
fn readiness(is_synced: bool, serves: bool) -> (StatusCode, &'static str) {
    match (is_synced, serves) {
        (true, true) => (StatusCode::OK, "ok\n"),
        (true, false) => (StatusCode::SERVICE_UNAVAILABLE, "not serving proxies\n"),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "initial sync not complete\n"),
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], admin.metrics.text())
}

/// The proxies and what each has in force, for people.
async fn proxies(State(admin): State<Admin>) -> Json<Value> {
    let proxies = admin.push.proxies().list(crate::clock::now());
    let proxies: Vec<_> = proxies
        .into_iter()
        .map(|it| {
            json!({
                "name": &*it.name,
                "peer": &*it.peer,
                "version": it.version,
                "since": it.since,
                "connected": it.connected,
                "follows": it.follows,
                "lagging": it.lagging,
                "table": it.digest.map(|digest| digest.to_string()),
                "routes": it.routes,
                "refused": it.rejected,
            })
        })
        .collect();
    let digest = admin.push.table().digest().map(|digest| digest.to_string());
    Json(json!({"table": digest, "proxies": proxies}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_ready_once_it_is_synced_and_serves_proxies() {
        for (is_synced, serves) in [(false, false), (false, true), (true, false), (true, true)] {
            let is_ready = readiness(is_synced, serves).0 == StatusCode::OK;
            assert_eq!(is_ready, is_synced && serves);
        }
    }
}
