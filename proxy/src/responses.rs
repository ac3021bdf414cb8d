//! Where stored responses were made, so that asking for one, or cancelling it, goes there.

use crate::balance::Endpoint;
use bytes::Bytes;
use memchr::memmem;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

/// Responses that are remembered; the oldest is forgotten first.
const REMEMBERED_MAX: usize = 10_000;
/// How far into a reply its id is looked for.
const LOOKED_AT_BYTES_MAX: usize = 16 * 1024;
/// The longest id that is remembered, in bytes.
const ID_BYTES_MAX: usize = 128;

/// Where responses were made, and for whom.
#[derive(Default)]
pub struct Responses(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    homes: HashMap<String, Home>,
    order: VecDeque<String>,
}

/// Where a response was made, and for whom.
#[derive(Clone)]
pub struct Home {
    /// The model as the client wrote it: a catch-all has no id to decide access by.
    pub model: Arc<str>,
    /// The endpoint that keeps it.
    pub endpoint: Arc<Endpoint>,
    /// The only caller who may ask for it: see [`crate::stage::authenticate::Principal::identity`].
    pub identity: String,
}

impl Responses {
    /// Remembers where a response was made, if the reply says its id.
    pub fn remember(&self, reply: &[Bytes], home: impl FnOnce() -> Home) {
        let Some(id) = reply.first().and_then(|bytes| id(bytes)) else {
            return;
        };
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.homes.insert(id.clone(), home()).is_none() {
            remembered.order.push_back(id);
        }
        if REMEMBERED_MAX < remembered.order.len()
            && let Some(oldest) = remembered.order.pop_front()
        {
            remembered.homes.remove(&oldest);
        }
    }

    /// Where a response was made, if this caller made it.
    pub fn home(&self, id: &str, identity: &str) -> Option<Home> {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.homes.get(id).filter(|home| home.identity == identity).cloned()
    }
}

/// The first `"id":"resp_.."`: nothing a client wrote stands before it.
fn id(reply: &[u8]) -> Option<String> {
    let reply = reply.get(..LOOKED_AT_BYTES_MAX).unwrap_or(reply);
    let start = memmem::find(reply, br#""id":"resp_"#)? + r#""id":""#.len();
    let rest = reply.get(start..)?;
    let end = rest.iter().position(|byte| *byte == b'"').filter(|end| *end <= ID_BYTES_MAX)?;
    String::from_utf8(rest.get(..end)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_response_is_found_in_a_reply_and_in_its_first_event() {
        let reply = br#"{"id":"resp_1a","object":"response"}"#;
        assert_eq!(id(reply).as_deref(), Some("resp_1a"));
        let event = b"event: response.created\ndata: {\"response\":{\"id\":\"resp_2b\"}}\n\n";
        assert_eq!(id(event).as_deref(), Some("resp_2b"));
        assert_eq!(id(br#"{"id":"chatcmpl-1"}"#), None);
    }
}
