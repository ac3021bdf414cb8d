//! Bodies in JSON.

use serde::Serialize;

/// Types of our own always serialize; an empty body would fail every test.
pub(super) fn json_bytes(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}
