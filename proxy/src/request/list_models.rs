//! `GET /v1/models` and `GET /v1/models/{id}`.

use crate::{
    response::{dialect::Dialect, rejection::Rejection},
    stage::{authenticate::Principal, authorize},
    tables::{RouteEntry, Snapshot},
};
use jiff::Timestamp;
use llm_contract::RouteMatch;
use serde_json::{Value, json};

/// The models this caller may use, in the caller's dialect. A catch-all is not listed, since what
/// it serves is unknown.
pub fn list(
    tables: &Snapshot,
    principal: &Principal,
    dialect: Dialect,
    created: Timestamp,
) -> String {
    let models: Vec<Value> = tables
        .listed()
        .filter(|entry| authorize::permit(principal, entry, &entry.label).is_ok())
        .map(|entry| show(entry, &entry.label, dialect, created))
        .collect();
    match dialect {
        Dialect::OpenAi => json!({ "object": "list", "data": models }),
        Dialect::Anthropic => json!({
            "first_id": models.first().and_then(|it| it.get("id")),
            "last_id": models.last().and_then(|it| it.get("id")),
            "has_more": false,
            "data": models,
        }),
    }
    .to_string()
}

/// One model. One that this caller may not use does not exist for them.
pub fn one(
    tables: &Snapshot,
    principal: &Principal,
    id: &str,
    dialect: Dialect,
    created: Timestamp,
) -> Result<String, Rejection> {
    let unknown = || Rejection::UnknownModel { model: id.to_owned() };
    let entry = tables.route(id).ok_or_else(unknown)?;
    let is_named = !matches!(entry.route.matches, RouteMatch::CatchAll);
    if is_named && authorize::permit(principal, entry, id).is_ok() {
        Ok(show(entry, id, dialect, created).to_string())
    } else {
        Err(unknown())
    }
}

fn show(entry: &RouteEntry, id: &str, dialect: Dialect, created: Timestamp) -> Value {
    match dialect {
        Dialect::OpenAi => json!({
            "id": id,
            "object": "model",
            "created": created.as_second(),
            "owned_by": entry.owner(),
        }),
        Dialect::Anthropic => json!({
            "type": "model",
            "id": id,
            "display_name": id,
            "created_at": created.to_string(),
        }),
    }
}
