//! The responses that were created with `store`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Responses kept for a later `GET`; the oldest go first.
const STORED_MAX: usize = 256;

/// Responses that can be retrieved again.
#[derive(Debug, Default)]
pub(crate) struct StoredResponses(Mutex<VecDeque<(String, Bytes)>>);

impl StoredResponses {
    pub(crate) fn put(&self, id: &str, body: Bytes) {
        let mut stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stored.len() >= STORED_MAX {
            stored.pop_front();
        }
        stored.push_back((id.to_owned(), body));
    }

    pub(crate) fn get(&self, id: &str) -> Option<Bytes> {
        let stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stored.iter().find(|(known, _)| known == id).map(|(_, body)| body.clone())
    }
}
