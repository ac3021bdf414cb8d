//! Stored responses: retrieved and cancelled at the endpoint that created them.

use super::{
    call::Call,
    exchange::ExchangeOutcome,
    upstream_attempts::{UpstreamClient, UpstreamRequest},
};
use crate::{
    response::{rejection::Rejection, request_error::RequestError},
    stage::{
        authenticate::Principal,
        authorize,
        pick::Candidates,
        read::{BodyBudget, Prompt},
        reserve, resolve,
    },
    tables::RouteEntry,
    usage::UsageFilter,
};
use bytes::Bytes;
use memchr::memmem;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// Responses that are remembered.
const REMEMBERED_MAX: usize = 10_000;
/// How far into a reply its id is searched.
const SEARCHED_BYTES_MAX: usize = 16 * 1024;
/// The longest id that is remembered, in bytes.
const ID_BYTES_MAX: usize = 128;

/// The owners of stored responses, by their ids. First in, first out: a cache by frequency of use
/// would forget new responses before old ones.
#[derive(Default)]
pub struct StoredResponses(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    owners: HashMap<String, ResponseOwner>,
    order: VecDeque<String>,
}

#[derive(Clone)]
pub struct ResponseOwner {
    /// As the client wrote it: a catch-all has no id to decide access by.
    pub model: Arc<str>,
    /// The endpoint's name, since its credential may change meanwhile.
    pub endpoint: Arc<str>,
    /// The only caller who may use it, as [`Principal::identity`].
    pub identity: String,
}

/// Retrieves or cancels a stored response.
pub async fn stored_response(
    call: Call<'_>,
    id: &str,
    bodies: &BodyBudget,
    responses: &StoredResponses,
    client: &UpstreamClient,
) -> Result<ExchangeOutcome, RequestError> {
    let Call { session, exchange, snapshot, principal, operation } = call;
    exchange.operation = Some(operation);
    let prompt = Prompt::read(session, operation, bodies).await?;
    let owner = responses.owned(id, principal)?;
    let route = resolve::route_for(operation, snapshot, &owner.model, principal);
    let route = route.map_err(|error| error.rejection(&owner.model))?;
    exchange.route = Some(Arc::clone(route));
    let permit = authorize::permit(principal, route, &owner.model).map_err(|it| it.rejection())?;
    let _lease = reserve::lease(permit)?;
    let path = operation.path.replace("{id}", id);
    let request = UpstreamRequest { permit, operation, path: &path, body: prompt.body.clone() };
    let candidates = owner.pinned_endpoint(id, route)?;
    let reply = client.send(session, exchange, candidates, &request).await?;
    reply.relay(session, exchange, UsageFilter::Off, client).await
}

impl StoredResponses {
    /// Remembers the owner of a response, if the reply has an id. The first owner of an id stays
    /// its owner: some servers let clients choose ids.
    pub fn remember(&self, reply: &[Bytes], owner: impl FnOnce() -> ResponseOwner) {
        let Some(id) = reply.first().and_then(|bytes| id(bytes)) else {
            return;
        };
        let mut remembered = self.0.lock();
        if remembered.owners.contains_key(&id) {
            return;
        }
        remembered.owners.insert(id.clone(), owner());
        remembered.order.push_back(id);
        if REMEMBERED_MAX < remembered.order.len()
            && let Some(oldest) = remembered.order.pop_front()
        {
            remembered.owners.remove(&oldest);
        }
    }

    /// The owner of a response, if it is this caller.
    pub fn owned(&self, id: &str, principal: &Principal) -> Result<ResponseOwner, Rejection> {
        self.owned_by(id, &principal.identity()).ok_or_else(|| unknown(id))
    }

    fn owned_by(&self, id: &str, identity: &str) -> Option<ResponseOwner> {
        self.0.lock().owners.get(id).filter(|owner| owner.identity == identity).cloned()
    }
}

impl ResponseOwner {
    /// The endpoint that has the response. It may be gone, and its address in other use by now.
    pub fn pinned_endpoint<'a>(
        &self,
        id: &str,
        route: &'a RouteEntry,
    ) -> Result<Candidates<'a>, Rejection> {
        let endpoint = route.endpoints.iter().find(|it| it.name == self.endpoint);
        Ok(Candidates::pinned(route, endpoint.ok_or_else(|| unknown(id))?))
    }
}

fn unknown(id: &str) -> Rejection {
    Rejection::UnknownResponse { id: id.to_owned() }
}

/// The first `"id": "resp_.."`: nothing a client wrote precedes it. OpenAI writes the space.
fn id(reply: &[u8]) -> Option<String> {
    let reply = reply.get(..SEARCHED_BYTES_MAX).unwrap_or(reply);
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
    fn the_first_owner_of_an_id_stays_its_owner() {
        let responses = StoredResponses::default();
        let owner = |identity: &str| ResponseOwner {
            model: "m".into(),
            endpoint: "http://10.0.0.1:8000".into(),
            identity: identity.to_owned(),
        };
        let reply = [Bytes::from_static(br#"{"id":"resp_1a"}"#)];
        responses.remember(&reply, || owner("key one"));
        responses.remember(&reply, || owner("key two"));
        assert!(responses.owned_by("resp_1a", "key one").is_some());
        assert!(responses.owned_by("resp_1a", "key two").is_none());
    }
}
