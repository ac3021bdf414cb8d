//! Health, metrics and explanations, on a listener of their own.

use crate::{
    clock,
    gateway::Shared,
    request::explain::{self, Explanation, Question},
};
use axum::{
    Json, Router,
    extract::{Query, State},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use std::sync::Arc;

/// The paths of the admin listener.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/explain", get(explain_why))
        .with_state(shared)
}

async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready when a table is in force and the gateway does not stop.
async fn readyz(State(shared): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    if shared.drain.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    if !shared.tables.is_loaded() {
        return (StatusCode::SERVICE_UNAVAILABLE, "no table in force yet\n");
    }
    (StatusCode::OK, "ok\n")
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, KIND)], shared.metrics.text())
}

async fn explain_why(
    State(shared): State<Arc<Shared>>,
    Query(question): Query<Question>,
) -> Json<Explanation> {
    Json(explain::explain(&question, &shared.tables.snapshot(), clock::wall()))
}
