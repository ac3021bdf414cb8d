//! Which web pages may read a response, and what of it.

use http::{HeaderMap, HeaderValue, header};
use llm_contract::CorsOrigins;

/// Response headers a page may read.
pub(crate) const EXPOSED_HEADERS: &str = "x-request-id, request-id, retry-after, retry-after-ms, \
    x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, \
    x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens";

/// `Access-Control-Allow-Origin`, if the page may read the response.
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
    fn only_listed_origins_are_allowed() {
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
            let found = allow_origin(&headers, origins);
            assert_eq!(found.as_ref().and_then(|it| it.to_str().ok()), allowed, "{origin:?}");
        }
    }
}
