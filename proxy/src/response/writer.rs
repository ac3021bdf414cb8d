//! Answers the gateway gives by itself, and what every answer bears.

use crate::{request::preflight, stage::accept::Dialect};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use llm_contract::CorsOrigins;
use pingora_core::protocols::http::ServerSession;
use pingora_http::ResponseHeader;
use std::time::Duration;

/// How long to take what a client still sends after it was answered: a client that is writing
/// its body would otherwise lose our answer to a reset.
const DRAIN_WAIT: Duration = Duration::from_secs(2);
/// The longest request id of a client that is taken over, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// What every answer to a request bears.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// How errors are written.
    pub dialect: Dialect,
    /// The client's if it is a sane token, else ours.
    pub request_id: HeaderValue,
    /// For browsers, if the page may read the answer.
    pub allow_origin: Option<HeaderValue>,
}

impl Stamp {
    /// Made from what the header says. `fresh_id` is used if the client names none.
    pub fn new(
        path: &str,
        headers: &HeaderMap,
        origins: &CorsOrigins,
        fresh_id: impl FnOnce() -> HeaderValue,
    ) -> Self {
        Self {
            dialect: Dialect::of(path, headers),
            request_id: request_id(headers).unwrap_or_else(fresh_id),
            allow_origin: preflight::allow_origin(headers, origins),
        }
    }

    /// Puts the stamp on an answer.
    ///
    /// # Errors
    /// Never for checked values; Pingora's setter is fallible.
    pub fn press(&self, answer: &mut ResponseHeader) -> pingora_core::Result<()> {
        answer.insert_header("x-request-id", self.request_id.clone())?;
        if self.dialect == Dialect::Anthropic {
            answer.insert_header("request-id", self.request_id.clone())?;
        }
        if let Some(origin) = &self.allow_origin {
            answer.insert_header(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())?;
            answer.insert_header(header::ACCESS_CONTROL_EXPOSE_HEADERS, preflight::EXPOSED)?;
            answer.insert_header(header::VARY, "Origin")?;
        }
        Ok(())
    }
}

fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get("x-request-id")?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let sane = (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(plain);
    sane.then(|| id.clone())
}

/// The header of an answer in JSON.
///
/// # Errors
/// Never for the values given here; Pingora's builder is fallible.
pub fn json_header(
    status: StatusCode,
    body_bytes: usize,
    stamp: &Stamp,
) -> pingora_core::Result<ResponseHeader> {
    let mut header = ResponseHeader::build(status, Some(10))?;
    header.insert_header(header::CONTENT_TYPE, "application/json")?;
    header.insert_header(header::CONTENT_LENGTH, body_bytes)?;
    stamp.press(&mut header)?;
    Ok(header)
}

/// Writes an answer, and takes what the client still sends for a while.
///
/// # Errors
/// If the client is gone.
pub async fn send(
    session: &mut ServerSession,
    header: ResponseHeader,
    body: Bytes,
) -> pingora_core::Result<()> {
    session.write_response_header(Box::new(header)).await?;
    session.write_response_body(body, true).await?;
    session.set_total_drain_timeout(Some(DRAIN_WAIT));
    session.drain_request_body().await
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
            assert_eq!(request_id(&headers).is_some(), taken, "{id}");
        }
    }
}
