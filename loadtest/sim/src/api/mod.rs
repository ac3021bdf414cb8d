//! The HTTP interface: which path is answered where.

mod error;
mod request;
mod generate;
mod tools;
mod chat;
mod completions;
mod responses;
mod stored;
mod messages;
mod pooling;
mod tokenize;
mod audio;
mod images;
mod operate;
mod control;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use crate::body::{BUSY_EVENT, Content};
use crate::config::Role;
use crate::fault::Fault;
use crate::server::Shared;
use crate::text::Dice;

pub(crate) use control::is_control;
pub(crate) use error::Refusal;
pub(crate) use stored::Stored;

/// What vLLM signs its OpenAI answers with.
const FINGERPRINT: &str = "vllm-0.32.0-5be84e9d";
const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

type Reply = Response<Content>;
type Answer = Result<Reply, Refusal>;

/// One request without its body.
pub(crate) struct Call {
    shared: Arc<Shared>,
    method: Method,
    path: String,
    headers: HeaderMap,
    /// The client's `x-request-id`, or 32 hexadecimal digits.
    request_id: String,
    /// What identifiers of answers end in.
    answer_id: String,
}

impl Call {
    pub(crate) fn new(shared: Arc<Shared>, head: &http::request::Parts) -> Self {
        let mut dice = Dice(shared.ids.fetch_add(1, Relaxed) ^ 0x5eed << 40);
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
    pub(crate) fn refuse(&self, refusal: &Refusal) -> Reply {
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
            Fault::ErrorFirstEvent => Refusal::Busy,
            Fault::ShuttingDown => Refusal::ShuttingDown,
            Fault::Status(code) => Refusal::injected(code),
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
        Some(self.refuse(&refusal))
    }

    fn role(&self) -> Role {
        self.shared.config.role
    }

    /// An identifier like `chatcmpl-…`.
    fn id(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.answer_id)
    }

    fn json(&self, body: &impl Serialize) -> Reply {
        self.json_bytes(json_bytes(body))
    }

    fn json_bytes(&self, body: impl Into<Bytes>) -> Reply {
        self.raw(StatusCode::OK, JSON, body)
    }

    fn events(&self, content: Content) -> Reply {
        let mut reply = self.raw(StatusCode::OK, EVENT_STREAM, Bytes::new());
        *reply.body_mut() = content;
        reply
    }

    fn raw(&self, status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Reply {
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
    fn authorize(&self) -> Result<(), Refusal> {
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
            _ => Err(Refusal::Unauthorized),
        }
    }
}

/// Answers one request.
pub(crate) async fn answer(call: Call, body: Bytes) -> Reply {
    if is_control(&call.path) && call.shared.config.allow_faults {
        return control::answer(&call, &body);
    }
    let answer = match call.authorize() {
        Ok(()) => route(&call, body).await,
        Err(refusal) => Err(refusal),
    };
    answer.unwrap_or_else(|refusal| call.refuse(&refusal))
}

async fn route(call: &Call, body: Bytes) -> Answer {
    let post = call.method == Method::POST;
    let get = call.method == Method::GET;
    if call.role() == Role::Provider && !call.path.starts_with("/v1/") {
        return Err(Refusal::UnknownUrl { method: call.method.clone(), path: call.path.clone() });
    }
    let by_id = call.path.strip_prefix("/v1/responses/").map(|id| id.split_once('/'));
    match (call.path.as_str(), by_id) {
        ("/v1/models", _) if get => Ok(operate::models(call)),
        ("/health" | "/ping", _) if get => Ok(operate::health(call)),
        ("/version", _) if get => Ok(operate::version(call)),
        ("/load", _) if get => Ok(operate::load(call)),
        ("/metrics", _) if get => Ok(operate::metrics(call)),
        ("/v1/chat/completions", _) if post => chat::answer(call, &body).await,
        ("/v1/completions", _) if post => completions::answer(call, &body).await,
        ("/v1/responses", _) if post => responses::answer(call, &body).await,
        ("/v1/messages", _) if post => messages::answer(call, &body).await,
        ("/v1/messages/count_tokens", _) if post => messages::count(call, &body),
        ("/v1/embeddings", _) if post => pooling::embeddings(call, &body).await,
        ("/pooling", _) if post => pooling::pooling(call, &body).await,
        ("/classify", _) if post => pooling::classify(call, &body).await,
        ("/v1/score" | "/score", _) if post => pooling::score(call, &body).await,
        ("/v1/rerank" | "/v2/rerank" | "/rerank", _) if post => pooling::rerank(call, &body).await,
        ("/tokenize", _) if post => tokenize::tokenize(call, &body),
        ("/detokenize", _) if post => tokenize::detokenize(call, &body),
        ("/v1/audio/transcriptions" | "/v1/audio/translations", _) if post => {
            audio::answer(call, &body).await
        }
        ("/v1/images/generations", _) if post && call.role() == Role::Provider => {
            images::answer(call, &body)
        }
        (_, Some(None)) if get => stored::by_id(call),
        (_, Some(Some((_, "cancel")))) if post => stored::cancel(call),
        (path, by_id) if routed(path) || matches!(by_id, Some(None | Some((_, "cancel")))) => {
            Err(Refusal::MethodNotAllowed)
        }
        _ if call.role() == Role::Provider => {
            Err(Refusal::UnknownUrl { method: call.method.clone(), path: call.path.clone() })
        }
        _ => Err(Refusal::NotFound),
    }
}

/// Whether a path exists under another method.
fn routed(path: &str) -> bool {
    const PATHS: [&str; 23] = [
        "/v1/models",
        "/health",
        "/ping",
        "/version",
        "/load",
        "/metrics",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/embeddings",
        "/pooling",
        "/classify",
        "/v1/score",
        "/score",
        "/v1/rerank",
        "/v2/rerank",
        "/rerank",
        "/tokenize",
        "/detokenize",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
    ];
    PATHS.contains(&path)
}

fn wants_stream(body: &[u8]) -> bool {
    let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    body.is_some_and(|body| body.get("stream") == Some(&serde_json::Value::Bool(true)))
}

/// Our own types always serialize; what does not would be an empty body, seen by any test.
fn json_bytes(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}
