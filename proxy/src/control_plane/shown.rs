//! What is in force, for people: `GET /table` on the admin listener. Credentials and hashes are
//! replaced.

use super::Feed;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use llm_contract::push::RedactedTable;
use std::sync::Arc;

/// The path that shows the table.
pub fn router(feed: Arc<Feed>) -> Router {
    Router::new().route("/table", get(table)).with_state(feed)
}

/// A table may be large, and is written on a thread that serves no requests.
async fn table(State(feed): State<Arc<Feed>>) -> Response {
    let written = tokio::task::spawn_blocking(move || serde_json::to_vec(&feed.shown())).await;
    match written {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Ok(Err(_)) | Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Feed {
    fn shown(&self) -> RedactedTable {
        let held = self.held.lock();
        let digest = held.received.digest();
        let in_force: Vec<_> = held.received.in_force().collect();
        let refused = held.received.refused();
        let refused: Vec<_> = refused.map(|(name, why)| (name.clone(), why.to_string())).collect();
        drop(held);
        RedactedTable::of(digest, in_force.iter().map(|(name, text)| (name, text)))
            .and_refused(refused)
    }
}
