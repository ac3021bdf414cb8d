//! A request, and the replies to it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::error::ApiError;
use super::json::json_bytes;
use crate::body::{BUSY_EVENT, Content};
use crate::config::Role;
use crate::fault::Fault;
use crate::shared::ServerState;
use crate::text::SplitMix;

/// What vLLM signs its OpenAI answers with.
pub(super) const FINGERPRINT: &str = "vllm-0.32.0-5be84e9d";
pub(super) const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

pub(super) type Reply = Response<Content>;
pub(super) type Answer = Result<Reply, ApiError>;

/// One request without its body.
pub(crate) struct Call {
    pub(super) shared: Arc<ServerState>,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    /// The client's `x-request-id`, or 32 hexadecimal digits.
    pub(super) request_id: String,
    /// What identifiers of answers end in.
    pub(super) answer_id: String,
}

impl Call {
    pub(crate) fn new(shared: Arc<ServerState>, head: &http::request::Parts) -> Self {
        let mut dice = SplitMix(shared.ids.fetch_add(1, Relaxed) ^ 0x5eed << 40);
        let random = dice.next();
        let given = head.headers.get("x-request-id").and_then(|id| id.to_str().ok());
        let (request_id, answer_id) = match given {
            Some(id) => (id.to_owned(), id.to_owned()),
            None => (format!("{random:016x}{:016x}", dice.next()), format!("{random:016x}")),
        };
        Self {
            shared,
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            headers: head.headers.clone(),
            request_id,
            answer_id,
        }
    }

    /// An error in the words of this server and this path.
    pub(crate) fn error_reply(&self, refusal: &ApiError) -> Reply {
        let anthropic = self.path.starts_with("/v1/messages");
        let (status, body) = refusal.render(self.shared.config.role, anthropic);
        let mut reply = self.raw(status, JSON, body);
        if let Some(seconds) = refusal.retry_after() {
            reply.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        reply
    }

    /// The whole answer that a fault gives, if it is one that does.
    pub(crate) fn failed(&self, fault: Fault, body: &[u8]) -> Option<Reply> {
        let refusal = match fault {
            Fault::ErrorFirstEvent if wants_stream(body) => {
                return Some(self.events(Content::only(BUSY_EVENT)));
            }
            Fault::ErrorFirstEvent => ApiError::Busy,
            Fault::ShuttingDown => ApiError::ShuttingDown,
            Fault::Status(code) => ApiError::injected(code),
            Fault::ResetOnAccept
            | Fault::CloseOnReuse
            | Fault::ResetBeforeHeaders
            | Fault::StallBeforeHeaders
            | Fault::SlowHeaders(_)
            | Fault::ResetAfterBytes(_)
            | Fault::ResetAfterEvents(_)
            | Fault::CloseAfterEvents(_)
            | Fault::StallAfterEvents(_)
            | Fault::ErrorAfterEvents(_)
            | Fault::EndAfterEvents(_)
            | Fault::NoDone
            | Fault::LongContentLength
            | Fault::ShortContentLength
            | Fault::Garbage
            | Fault::HugeHeader(_) => return None,
        };
        Some(self.error_reply(&refusal))
    }

    pub(super) fn role(&self) -> Role {
        self.shared.config.role
    }

    /// An identifier like `chatcmpl-…`.
    pub(super) fn id(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.answer_id)
    }

    pub(super) fn json(&self, body: &impl Serialize) -> Reply {
        self.json_bytes(json_bytes(body))
    }

    pub(super) fn json_bytes(&self, body: impl Into<Bytes>) -> Reply {
        self.raw(StatusCode::OK, JSON, body)
    }

    pub(super) fn events(&self, content: Content) -> Reply {
        let mut reply = self.raw(StatusCode::OK, EVENT_STREAM, Bytes::new());
        *reply.body_mut() = content;
        reply
    }

    pub(super) fn raw(
        &self,
        status: StatusCode,
        media: &'static str,
        body: impl Into<Bytes>,
    ) -> Reply {
        let mut reply = Response::new(Content::Whole(body.into()));
        *reply.status_mut() = status;
        if !media.is_empty() {
            reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
        }
        if let Ok(id) = HeaderValue::try_from(&self.request_id) {
            reply.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
        }
        reply
    }

    /// vLLM guards some prefixes only, and takes nothing but a bearer token.
    pub(super) fn authorize(&self) -> Result<(), ApiError> {
        let guarded = ["/v1", "/v2", "/inference", "/cohere"];
        let Some(key) = &self.shared.config.api_key else { return Ok(()) };
        if !guarded.iter().any(|prefix| self.path.starts_with(prefix)) {
            return Ok(());
        }
        let sent = self.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let sent = sent.and_then(|value| value.split_once(' '));
        match sent {
            Some((scheme, token))
                if scheme.eq_ignore_ascii_case("bearer") && token == key.expose_secret() =>
            {
                Ok(())
            }
            _ => Err(ApiError::Unauthorized),
        }
    }
}

fn wants_stream(body: &[u8]) -> bool {
    let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    body.is_some_and(|body| body.get("stream") == Some(&serde_json::Value::Bool(true)))
}
