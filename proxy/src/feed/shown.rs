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
use llm_contract::push::{Name, redacted};
use serde_json::{Value, json};
use std::sync::Arc;

/// The path that shows the table.
pub fn router(feed: Arc<Feed>) -> Router {
    Router::new().route("/table", get(table)).with_state(feed)
}

/// A table may be large, and is written on a thread that serves no requests.
async fn table(State(feed): State<Arc<Feed>>) -> Response {
    let written = tokio::task::spawn_blocking(move || feed.shown().to_string());
    match written.await {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(_stopped) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Feed {
    fn shown(&self) -> Value {
        let held = self.held.lock();
        let digest = held.received.digest().to_string();
        let in_force: Vec<_> = held.received.in_force().collect();
        let refused = held.received.refused();
        let refused: Vec<_> = refused.map(|(name, why)| (name.clone(), Arc::clone(why))).collect();
        drop(held);
        let named = |name: &Name, field: &str, value: Value| json!({ "kind": name.kind.as_str(), "name": &*name.name, field: value });
        let in_force = in_force.iter().map(|(name, text)| named(name, "document", redacted(text)));
        let refused = refused.iter().map(|(name, why)| named(name, "reason", json!(&**why)));
        json!({
            "digest": digest,
            "resources": in_force.collect::<Vec<_>>(),
            "refused": refused.collect::<Vec<_>>(),
        })
    }
}
