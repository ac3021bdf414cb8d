//! What browsers ask before they call, and what they must see to read an answer.

use crate::response::writer::Stamp;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use llm_contract::CorsOrigins;
use pingora_http::ResponseHeader;

/// Request headers a page may send.
const HEADERS: &str = "authorization, content-type, x-api-key, api-key, x-request-id, \
    idempotency-key, openai-beta, openai-organization, openai-project, traceparent, \
    anthropic-version, anthropic-beta, anthropic-dangerous-direct-browser-access, \
    x-stainless-arch, x-stainless-async, x-stainless-helper-method, x-stainless-lang, \
    x-stainless-os, x-stainless-package-version, x-stainless-poll-helper, \
    x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version, x-stainless-timeout";
/// Response headers a page may read.
pub(crate) const EXPOSED: &str = "x-request-id, request-id, retry-after, retry-after-ms, \
    x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, \
    x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens";
/// Seconds a browser may remember the answer.
const MAX_AGE: &str = "600";

/// The answer to a preflight. A page of an origin that may not call is told nothing, and the
/// browser does not let it call.
///
/// # Errors
/// Never for the values given here; Pingora's builder is fallible.
pub fn answer(stamp: &Stamp) -> pingora_core::Result<ResponseHeader> {
    let mut answer = ResponseHeader::build(StatusCode::NO_CONTENT, Some(10))?;
    stamp.press(&mut answer)?;
    if stamp.allow_origin.is_some() {
        answer.insert_header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS")?;
        answer.insert_header(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS)?;
        answer.insert_header(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE)?;
    }
    Ok(answer)
}

/// What a page must be told to read an answer, if it may.
pub fn allow_origin(headers: &HeaderMap, origins: &CorsOrigins) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    match origins {
        CorsOrigins::Any => Some(HeaderValue::from_static("*")),
        CorsOrigins::Listed(listed) => listed.contains(origin).then(|| origin.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_origins_are_told_that_they_may_read() {
        let listed = CorsOrigins::Listed(vec![HeaderValue::from_static("https://chat.example")]);
        for (origin, origins, allowed) in [
            (Some("https://chat.example"), &listed, Some("https://chat.example")),
            (Some("https://evil.example"), &listed, None),
            (Some("https://evil.example"), &CorsOrigins::Any, Some("*")),
            (None, &CorsOrigins::Any, None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            let told = allow_origin(&headers, origins);
            assert_eq!(told.as_ref().and_then(|it| it.to_str().ok()), allowed, "{origin:?}");
        }
    }
}
