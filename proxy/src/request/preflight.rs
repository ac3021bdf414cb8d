//! What browsers ask before they call.

use crate::response::context::ResponseContext;
use http::{StatusCode, header};
use pingora_http::ResponseHeader;

/// Request headers a page may send.
const ALLOWED_HEADERS: &str = "authorization, content-type, x-api-key, api-key, x-request-id, \
    idempotency-key, openai-beta, openai-organization, openai-project, traceparent, \
    anthropic-version, anthropic-beta, anthropic-dangerous-direct-browser-access, \
    x-stainless-arch, x-stainless-async, x-stainless-helper-method, x-stainless-lang, \
    x-stainless-os, x-stainless-package-version, x-stainless-poll-helper, \
    x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version, x-stainless-timeout";
const MAX_AGE_SECONDS: &str = "600";

/// The response to a preflight. Without CORS headers, for an origin that is not allowed, the
/// browser does not let the page call.
pub fn response(context: &ResponseContext) -> pingora_core::Result<ResponseHeader> {
    let mut response = ResponseHeader::build(StatusCode::NO_CONTENT, Some(10))?;
    context.apply_headers(&mut response)?;
    if context.allow_origin.is_some() {
        response.insert_header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS")?;
        response.insert_header(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS)?;
        response.insert_header(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS)?;
    }
    Ok(response)
}
