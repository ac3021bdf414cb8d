//! The header of a reply, as the client gets it.

use crate::response::context::ResponseContext;
use http::{HeaderName, Version, header};
use pingora_http::ResponseHeader;

/// Headers of an upstream that are dropped: about its connection, cookies and software, or about
/// the account that all our clients share.
const DROPPED: [HeaderName; 17] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::SET_COOKIE,
    header::SERVER,
    header::DATE,
    header::VIA,
    header::ALT_SVC,
    header::STRICT_TRANSPORT_SECURITY,
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
    HeaderName::from_static("anthropic-organization-id"),
];

const DROPPED_PREFIXES: [&str; 3] = ["access-control-", "x-ratelimit-", "anthropic-ratelimit-"];

pub(super) fn for_client(
    upstream: &ResponseHeader,
    downstream: Version,
    is_stream: bool,
    context: &ResponseContext,
) -> pingora_core::Result<ResponseHeader> {
    let mut response = ResponseHeader::build(upstream.status, Some(upstream.headers.len() + 8))?;
    for (name, value) in &upstream.headers {
        if passes(name) && !(is_stream && *name == header::CONTENT_LENGTH) {
            response.append_header(name.clone(), value.clone())?;
        }
    }
    if is_stream {
        response.insert_header(header::CACHE_CONTROL, "no-cache")?;
        response.insert_header("x-accel-buffering", "no")?;
    }
    if downstream == Version::HTTP_11 && !response.headers.contains_key(header::CONTENT_LENGTH) {
        response.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    context.apply_headers(&mut response)?;
    Ok(response)
}

fn passes(name: &HeaderName) -> bool {
    let has_prefix = DROPPED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix));
    !DROPPED.contains(name) && !has_prefix
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::dialect::Dialect;
    use http::HeaderValue;

    #[test]
    fn a_client_sees_neither_the_upstream_s_cookies_nor_its_account() {
        let mut upstream = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("content-length", "5"),
            ("set-cookie", "canary"),
            ("server", "canary"),
            ("openai-organization", "canary"),
            ("x-ratelimit-remaining-requests", "canary"),
            ("access-control-allow-origin", "canary"),
            ("connection", "canary"),
            ("openai-processing-ms", "12"),
        ] {
            upstream.append_header(name, value).unwrap();
        }
        let context = ResponseContext {
            dialect: Dialect::OpenAi,
            request_id: HeaderValue::from_static("req-1"),
            allow_origin: None,
        };
        let seen = for_client(&upstream, Version::HTTP_11, true, &context).unwrap();
        assert!(seen.headers.values().all(|value| value != "canary"));
        assert!(!seen.headers.contains_key("content-length"));
        assert_eq!(seen.headers.get("openai-processing-ms").unwrap(), "12");
        assert_eq!(seen.headers.get("x-request-id").unwrap(), "req-1");
        assert_eq!(seen.headers.get("transfer-encoding").unwrap(), "chunked");
    }
}
