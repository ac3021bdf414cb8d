//! `GET /table` on the admin listener: the applied table without credentials and hashes.

use super::TableApplier;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use std::sync::Arc;

pub fn router(applier: Arc<TableApplier>) -> Router {
    Router::new().route("/table", get(table)).with_state(applier)
}

/// Serializes on a blocking thread: a table may be large.
async fn table(State(applier): State<Arc<TableApplier>>) -> Response {
    let written = tokio::task::spawn_blocking(move || serde_json::to_vec(&applier.redacted()));
    match written.await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Ok(Err(_)) | Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
