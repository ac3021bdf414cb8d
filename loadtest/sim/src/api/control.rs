//! The paths under `/sim/`, for tests in other languages: what was received, and which
//! fault is in force. They are served only where faults are allowed.

use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;

use super::call::{Call, JSON, Reply};
use super::error::ApiError;
use super::json::json_bytes;
use crate::fault::InjectionText;
use crate::received::{Ended, Received};
use crate::state::State;

#[derive(Serialize)]
struct ReceivedBody {
    id: u64,
    connection: u64,
    at_ms: u64,
    method: String,
    path_and_query: String,
    version: String,
    headers: Vec<[String; 2]>,
    /// Bytes that are no text become U+FFFD.
    body: String,
    ended: &'static str,
}

#[derive(Serialize)]
struct StateBody {
    running: usize,
    waiting: usize,
    connections: usize,
    received: u64,
    completed: u64,
    aborted: u64,
}

#[derive(Serialize)]
struct ErrorBody {
    error: String,
}

/// `GET` and `DELETE /sim/received`, `GET /sim/state`, `POST /sim/fault`.
pub(super) fn answer(call: &Call, body: &[u8]) -> Reply {
    match (&call.method, call.path.as_str()) {
        (&Method::GET, "/sim/received") => {
            let entries: Vec<ReceivedBody> = call.shared.log.all().iter().map(entry).collect();
            call.json(&entries)
        }
        (&Method::DELETE, "/sim/received") => {
            call.shared.log.clear();
            call.raw(StatusCode::NO_CONTENT, "", "")
        }
        (&Method::GET, "/sim/state") => call.json(&numbers(call.shared.state.now())),
        (&Method::POST, "/sim/fault") => inject(call, body),
        _ => call.error_reply(&ApiError::NotFound),
    }
}

fn inject(call: &Call, body: &[u8]) -> Reply {
    let parsed = serde_json::from_slice::<InjectionText>(body).map_err(|error| error.to_string());
    match parsed.and_then(|text| text.parse().map_err(|error| error.to_string())) {
        Ok(injection) => {
            call.shared.inject(injection);
            call.raw(StatusCode::NO_CONTENT, "", "")
        }
        Err(error) => call.raw(StatusCode::BAD_REQUEST, JSON, json_bytes(&ErrorBody { error })),
    }
}

fn entry(received: &Received) -> ReceivedBody {
    ReceivedBody {
        id: received.id,
        connection: received.connection,
        at_ms: u64::try_from(received.at.as_millis()).unwrap_or(u64::MAX),
        method: received.method.to_string(),
        path_and_query: received.path_and_query.clone(),
        version: format!("{:?}", received.version),
        headers: headers(&received.headers),
        body: String::from_utf8_lossy(&received.body).into_owned(),
        ended: match received.ended {
            Ended::Open => "open",
            Ended::Completed => "completed",
            Ended::Aborted => "aborted",
        },
    }
}

fn headers(headers: &HeaderMap) -> Vec<[String; 2]> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| [name.to_string(), text(value)]).collect()
}

fn numbers(state: State) -> StateBody {
    let State { running, waiting, connections, received, completed, aborted } = state;
    StateBody { running, waiting, connections, received, completed, aborted }
}
