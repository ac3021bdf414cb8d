//! Where stored responses were made, so that asking for one, or cancelling it, goes there.

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
    /// The name of the endpoint that keeps it: its credential may change in the meantime.
    pub endpoint: Arc<str>,
    /// The only caller who may ask for it: see [`crate::stage::authenticate::Principal::identity`].
    pub identity: String,
}

impl Responses {
    /// Remembers where a response was made, if the reply says its id. An id that is known stays
    /// whose it is: some servers let clients choose it.
    pub fn remember(&self, reply: &[Bytes], home: impl FnOnce() -> Home) {
        let Some(id) = reply.first().and_then(|bytes| id(bytes)) else {
            return;
        };
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.homes.contains_key(&id) {
            return;
        }
        remembered.homes.insert(id.clone(), home());
        remembered.order.push_back(id);
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

/// The first `"id": "resp_.."`: nothing a client wrote stands before it. OpenAI writes the space.
fn id(reply: &[u8]) -> Option<String> {
    let reply = reply.get(..LOOKED_AT_BYTES_MAX).unwrap_or(reply);
    let is_id = |quote: &usize| {
        let key = reply.get(..*quote).and_then(|it| it.trim_ascii_end().strip_suffix(b":"));
        key.is_some_and(|key| key.trim_ascii_end().ends_with(br#""id""#))
    };
    let start = memmem::find_iter(reply, br#""resp_"#).find(is_id)? + 1;
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
        let spaced = b"{\n  \"id\": \"resp_3c\",\n  \"previous_response_id\": \"resp_1a\"\n}";
        assert_eq!(id(spaced).as_deref(), Some("resp_3c"));
        assert_eq!(id(br#"{"previous_response_id":"resp_1a"}"#), None);
        assert_eq!(id(br#"{"text":"\"id\": \"resp_1a\""}"#), None);
        assert_eq!(id(br#"{"id":"chatcmpl-1"}"#), None);
    }

    #[test]
    fn an_id_that_is_known_stays_whose_it_is() {
        let responses = Responses::default();
        let home = |identity: &str| Home {
            model: "m".into(),
            endpoint: "http://10.0.0.1:8000".into(),
            identity: identity.to_owned(),
        };
        let reply = [Bytes::from_static(br#"{"id":"resp_1a"}"#)];
        responses.remember(&reply, || home("key one"));
        responses.remember(&reply, || home("key two"));
        assert!(responses.home("resp_1a", "key one").is_some());
        assert!(responses.home("resp_1a", "key two").is_none());
    }
}
