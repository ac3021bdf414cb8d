//! The admin listener: health, metrics, explanations.

use crate::{
    clock,
    gateway::Gateway,
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

pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/explain", get(explain_why))
        .with_state(gateway)
}

async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready with a table in force, until shutdown.
async fn readyz(State(gateway): State<Arc<Gateway>>) -> (StatusCode, &'static str) {
    if gateway.drain.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    if !gateway.tables.is_loaded() {
        return (StatusCode::SERVICE_UNAVAILABLE, "no table in force yet\n");
    }
    (StatusCode::OK, "ok\n")
}

async fn metrics(State(gateway): State<Arc<Gateway>>) -> impl IntoResponse {
    const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, KIND)], gateway.metrics.text())
}

async fn explain_why(
    State(gateway): State<Arc<Gateway>>,
    Query(question): Query<Question>,
) -> Json<Explanation> {
    Json(explain::explain(&question, &gateway.tables.snapshot(), clock::wall()))
}
