//! What every response to one request carries.

use super::{cors, dialect::Dialect};
use crate::random_id::random_id;
use http::{HeaderMap, HeaderValue, header};
use llm_contract::CorsOrigins;
use pingora_http::ResponseHeader;

/// The longest request id taken over from a client, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

#[derive(Clone, Debug)]
pub struct ResponseContext {
    /// How errors are written.
    pub dialect: Dialect,
    /// The client's if it is a plain token, else ours.
    pub request_id: HeaderValue,
    /// For browsers, if the page may read the response.
    pub allow_origin: Option<HeaderValue>,
}

impl ResponseContext {
    pub fn new(path: &str, headers: &HeaderMap, origins: &CorsOrigins) -> Self {
        Self {
            dialect: Dialect::of(path, headers),
            request_id: client_request_id(headers).unwrap_or_else(random_request_id),
            allow_origin: cors::allow_origin(headers, origins),
        }
    }

    /// For a request without a readable header.
    pub fn unknown() -> Self {
        Self { dialect: Dialect::OpenAi, request_id: random_request_id(), allow_origin: None }
    }

    /// Fallible only because Pingora's setter is.
    pub fn apply_headers(&self, response: &mut ResponseHeader) -> pingora_core::Result<()> {
        response.insert_header("x-request-id", self.request_id.clone())?;
        if self.dialect == Dialect::Anthropic {
            response.insert_header("request-id", self.request_id.clone())?;
        }
        if let Some(origin) = &self.allow_origin {
            response.insert_header(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())?;
            response.insert_header(header::ACCESS_CONTROL_EXPOSE_HEADERS, cors::EXPOSED_HEADERS)?;
            response.insert_header(header::VARY, "Origin")?;
        }
        Ok(())
    }
}

fn client_request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get("x-request-id")?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let sane = (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(plain);
    sane.then(|| id.clone())
}

fn random_request_id() -> HeaderValue {
    HeaderValue::from_str(&random_id("req-")).unwrap_or(HeaderValue::from_static("req-0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_s_request_id_is_taken_over_if_it_is_a_plain_token() {
        let long = "x".repeat(REQUEST_ID_BYTES_MAX + 1);
        for (id, taken) in [("abc-1_2.3", true), ("a b", false), ("<x>", false), (&long, false)] {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", id.parse().unwrap());
            assert_eq!(client_request_id(&headers).is_some(), taken, "{id}");
        }
    }
}
