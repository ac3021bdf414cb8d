//! Health and metrics, on a listener of their own.

use crate::{app::metrics::Metrics, cluster_state::World};
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

/// What the paths speak of.
#[derive(Clone)]
pub struct Admin {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is seen of the cluster.
    pub world: World,
    /// Who follows.
    pub push: Push,
}

/// The paths of the admin listener.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/proxies", get(proxies))
        .with_state(admin)
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    let has_seen_all = *admin.world.synced.borrow();
    readiness(has_seen_all, admin.push.is_serving())
}

/// Ready when everything has been seen once, so that the whole table can be pushed, and proxies
/// can connect to be sent it.
fn readiness(has_seen_all: bool, serves: bool) -> (StatusCode, &'static str) {
    match (has_seen_all, serves) {
        (true, true) => (StatusCode::OK, "ok\n"),
        (true, false) => (StatusCode::SERVICE_UNAVAILABLE, "proxies cannot connect now\n"),
        (false, _) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the cluster has not been seen as a whole yet\n")
        }
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, KIND)], admin.metrics.text())
}

/// Who follows, and how far each is; for people.
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
    fn an_operator_that_has_seen_all_and_that_proxies_can_connect_to_is_ready() {
        for (has_seen_all, serves) in [(false, false), (false, true), (true, false), (true, true)] {
            let is_ready = readiness(has_seen_all, serves).0 == StatusCode::OK;
            assert_eq!(is_ready, has_seen_all && serves);
        }
    }
}
