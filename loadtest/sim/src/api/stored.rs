//! `GET /v1/responses/{id}` and `POST /v1/responses/{id}/cancel`.

use bytes::Bytes;

use super::call::{Answer, Call};
use super::error::ApiError;

/// `GET /v1/responses/{id}`.
pub(super) fn by_id(call: &Call) -> Answer {
    let id = call.path.trim_start_matches("/v1/responses/");
    Ok(call.json_bytes(find(call, id)?))
}

/// `POST /v1/responses/{id}/cancel`: what is stored here is always over.
pub(super) fn cancel(call: &Call) -> Answer {
    let id = call.path.trim_start_matches("/v1/responses/").trim_end_matches("/cancel");
    find(call, id)?;
    Err(ApiError::NotCancellable)
}

pub(super) fn find(call: &Call, id: &str) -> Result<Bytes, ApiError> {
    let stored = call.shared.stored.get(id);
    stored.ok_or_else(|| ApiError::UnknownResponse { id: id.to_owned() })
}
