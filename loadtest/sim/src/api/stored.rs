//! `GET /v1/responses/{id}` and `POST /v1/responses/{id}/cancel`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::{Answer, Call, Refusal};

/// Responses kept for a later `GET`; the oldest go first.
const STORED_MAX: usize = 256;

/// The responses that can be asked for again.
#[derive(Debug, Default)]
pub(crate) struct Stored(Mutex<VecDeque<(String, Bytes)>>);

impl Stored {
    pub(super) fn put(&self, id: &str, body: Bytes) {
        let mut stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stored.len() >= STORED_MAX {
            stored.pop_front();
        }
        stored.push_back((id.to_owned(), body));
    }

    pub(super) fn get(&self, id: &str) -> Result<Bytes, Refusal> {
        let stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = stored.iter().find(|(known, _)| known == id);
        found
            .map(|(_, body)| body.clone())
            .ok_or_else(|| Refusal::UnknownResponse { id: id.to_owned() })
    }
}

/// `GET /v1/responses/{id}`.
pub(super) fn by_id(call: &Call) -> Answer {
    let id = call.path.trim_start_matches("/v1/responses/");
    Ok(call.json_bytes(call.shared.stored.get(id)?))
}

/// `POST /v1/responses/{id}/cancel`: what is stored here is always over.
pub(super) fn cancel(call: &Call) -> Answer {
    let id = call.path.trim_start_matches("/v1/responses/").trim_end_matches("/cancel");
    call.shared.stored.get(id)?;
    Err(Refusal::NotCancellable)
}
