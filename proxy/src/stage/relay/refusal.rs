//! An upstream's own error, in the dialect of the path.
//!
//! What is already in the right shape passes as it is. Model servers answer some errors in other
//! shapes (`{"detail": ..}`, `{"error": "Unauthorized"}`, OpenAI's shape on `/v1/messages`);
//! these are put into the shape that the client's SDK reads.

use crate::{
    response::{
        rejection::Rejection,
        writer::{self, Stamp},
    },
    stage::accept::Dialect,
    upstream::{
        Endpoint,
        connection::{Connection, Failure},
    },
};
use bytes::{Bytes, BytesMut};
use http::{StatusCode, header};
use memchr::memmem;
use pingora_http::ResponseHeader;
use serde_json::{Value, json};

/// How much of an error's body is read.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How much of an upstream's message is passed on when it has to be put into another shape.
const MESSAGE_CHARS_MAX: usize = 2000;
/// Headers of an error that tell a client when to come back.
const PASSED: [&str; 3] = ["retry-after", "retry-after-ms", "x-should-retry"];

/// An upstream's own error.
#[derive(Debug)]
pub struct Refusal {
    header: Box<ResponseHeader>,
    status: StatusCode,
    body: Bytes,
}

/// Reads the body of an error, up to a limit.
pub(super) async fn read(connection: &mut Connection) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    while let Some(chunk) = connection.chunk().await? {
        body.extend_from_slice(&chunk);
        if BODY_BYTES_MAX <= body.len() {
            body.truncate(BODY_BYTES_MAX);
            break;
        }
    }
    Ok(body.freeze())
}

impl Refusal {
    pub(super) fn new(header: &ResponseHeader, body: Bytes) -> Self {
        Self { status: header.status, header: Box::new(header.clone()), body }
    }

    /// An error that came as the first event of a stream, behind a 200.
    pub(super) fn in_stream(status: Option<u16>, header: &ResponseHeader, body: Bytes) -> Self {
        let status = status.and_then(|code| StatusCode::from_u16(code).ok());
        let is_error = |status: &StatusCode| status.is_client_error() || status.is_server_error();
        let status = status.filter(is_error).unwrap_or(StatusCode::BAD_GATEWAY);
        Self { status, header: Box::new(header.clone()), body }
    }

    /// What the upstream says.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer for the client, or our own refusal in its place if it would tell the client
    /// something about the gateway's own credential.
    ///
    /// # Errors
    /// [`Rejection::UpstreamCredential`].
    pub fn answer(
        &self,
        endpoint: &Endpoint,
        stamp: &Stamp,
    ) -> Result<(ResponseHeader, Bytes), Rejection> {
        if self.status == StatusCode::UNAUTHORIZED || self.holds_credential(endpoint) {
            return Err(Rejection::UpstreamCredential);
        }
        let body = shaped(&self.body, self.status, stamp);
        let mut header = writer::json_header(self.status, body.len(), stamp)
            .map_err(|_never| Rejection::Defect)?;
        for name in PASSED {
            if let Some(value) = self.header.headers.get(name) {
                header.insert_header(name, value.clone()).map_err(|_never| Rejection::Defect)?;
            }
        }
        if stamp.dialect == Dialect::Anthropic && self.status == StatusCode::SERVICE_UNAVAILABLE {
            let status = Rejection::Saturated.status(stamp.dialect);
            header.set_status(status).map_err(|_never| Rejection::Defect)?;
        }
        header.remove_header(&header::CONNECTION);
        Ok((header, body))
    }

    /// A careless upstream may echo what we sent it.
    fn holds_credential(&self, endpoint: &Endpoint) -> bool {
        endpoint.credential.as_ref().is_some_and(|credential| {
            let value = credential.value.as_bytes();
            let secret = value.strip_prefix(b"Bearer ").unwrap_or(value);
            memmem::find(&self.body, secret).is_some()
        })
    }
}

/// The body in the dialect of the path: as it is if it has the right shape already.
fn shaped(body: &Bytes, status: StatusCode, stamp: &Stamp) -> Bytes {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let error = parsed.as_ref().and_then(|it| it.get("error"));
    let is_shaped = error.is_some_and(Value::is_object)
        && (stamp.dialect == Dialect::OpenAi
            || parsed.as_ref().and_then(|it| it.get("type")) == Some(&"error".into()));
    if is_shaped {
        return body.clone();
    }
    let message = parsed
        .as_ref()
        .and_then(message)
        .unwrap_or_else(|| format!("the model's server answered with status {}", status.as_u16()));
    match stamp.dialect {
        Dialect::OpenAi => json!({ "error": {
            "message": message, "type": openai_type(status), "param": null, "code": null,
        }}),
        Dialect::Anthropic => json!({
            "type": "error",
            "error": { "type": anthropic_type(status), "message": message },
            "request_id": stamp.request_id.to_str().unwrap_or_default(),
        }),
    }
    .to_string()
    .into()
}

/// Where the shapes that occur keep their text.
fn message(body: &Value) -> Option<String> {
    let text = [body.pointer("/error/message"), body.get("error"), body.get("detail")]
        .into_iter()
        .chain([body.get("message")])
        .flatten()
        .find_map(Value::as_str)?;
    Some(text.chars().take(MESSAGE_CHARS_MAX).collect())
}

fn openai_type(status: StatusCode) -> &'static str {
    if status.is_server_error() { "server_error" } else { "invalid_request_error" }
}

fn anthropic_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn stamp(dialect: Dialect) -> Stamp {
        Stamp { dialect, request_id: HeaderValue::from_static("req-1"), allow_origin: None }
    }

    fn shape(body: &'static str, dialect: Dialect) -> String {
        let bytes = Bytes::from_static(body.as_bytes());
        let shaped = shaped(&bytes, StatusCode::NOT_FOUND, &stamp(dialect));
        String::from_utf8(shaped.to_vec()).unwrap()
    }

    #[test]
    fn an_error_in_the_right_shape_passes_byte_for_byte() {
        let openai = r#"{"error": {"message":"no","type":"NotFoundError","code":404}}"#;
        assert_eq!(shape(openai, Dialect::OpenAi), openai);
        let anthropic = r#"{"type":"error", "error":{"type":"x","message":"no"}}"#;
        assert_eq!(shape(anthropic, Dialect::Anthropic), anthropic);
    }

    #[test]
    fn every_other_shape_becomes_that_of_the_path() {
        for body in
            [r#"{"detail":"Not Found"}"#, r#"{"error":"Not Found"}"#, r#"{"message":"Not Found"}"#]
        {
            assert_eq!(
                shape(body, Dialect::OpenAi),
                r#"{"error":{"code":null,"message":"Not Found","param":null,"type":"invalid_request_error"}}"#,
            );
        }
        assert_eq!(
            shape(r#"{"error":{"message":"no","type":"t"}}"#, Dialect::Anthropic),
            r#"{"error":{"message":"no","type":"not_found_error"},"request_id":"req-1","type":"error"}"#,
        );
        assert!(shape("<html>", Dialect::OpenAi).contains("status 404"));
    }
}
