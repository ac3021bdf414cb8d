//! Which path is answered where.

use bytes::Bytes;
use http::Method;

use super::call::{Answer, Call, Reply};
use super::error::ApiError;
use super::{
    audio, chat, completions, control, images, messages, operate, pooling, responses, stored,
    tokenize,
};
use crate::config::Role;
use crate::shared::is_control;

/// Answers one request.
pub(crate) async fn answer(call: Call, body: Bytes) -> Reply {
    if is_control(&call.path) && call.shared.config.allow_faults {
        return control::answer(&call, &body);
    }
    let answer = match call.authorize() {
        Ok(()) => route(&call, body).await,
        Err(refusal) => Err(refusal),
    };
    answer.unwrap_or_else(|refusal| call.error_reply(&refusal))
}

async fn route(call: &Call, body: Bytes) -> Answer {
    let post = call.method == Method::POST;
    let get = call.method == Method::GET;
    if call.role() == Role::Provider && !call.path.starts_with("/v1/") {
        return Err(ApiError::UnknownUrl { method: call.method.clone(), path: call.path.clone() });
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
            Err(ApiError::MethodNotAllowed)
        }
        _ if call.role() == Role::Provider => {
            Err(ApiError::UnknownUrl { method: call.method.clone(), path: call.path.clone() })
        }
        _ => Err(ApiError::NotFound),
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
