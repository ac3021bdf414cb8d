//! An upstream's error, in the dialect of the path.
//!
//! What has the right shape already is passed on as it is. Model servers send some errors in other
//! shapes (`{"detail": ..}`, `{"error": "Unauthorized"}`, OpenAI's shape on `/v1/messages`), which
//! are converted to the shape that the client's SDK parses.

use crate::{
    response::{
        context::ResponseContext,
        dialect::{Dialect, ErrorBody},
        rejection::Rejection,
        writer,
    },
    upstream::{Endpoint, UpstreamError, connection::Connection},
};
use bytes::{Bytes, BytesMut};
use http::{StatusCode, header};
use memchr::memmem;
use pingora_http::ResponseHeader;
use serde_json::Value;

/// How much of an error's body is read.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How much of an upstream's message is kept when it is converted to another shape.
const MESSAGE_CHARS_MAX: usize = 2000;
/// Headers of an error that tell a client when to retry.
const PASSED_HEADERS: [&str; 3] = ["retry-after", "retry-after-ms", "x-should-retry"];

#[derive(Debug)]
pub struct ErrorReply {
    header: Box<ResponseHeader>,
    status: StatusCode,
    body: Bytes,
}

pub(super) async fn read_body(connection: &mut Connection) -> Result<Bytes, UpstreamError> {
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

impl ErrorReply {
    pub(super) fn new(status: StatusCode, header: &ResponseHeader, body: Bytes) -> Self {
        Self { status, header: Box::new(header.clone()), body }
    }

    /// An error that is the first event of a stream, after a 200.
    pub(super) fn in_stream(status: Option<u16>, header: &ResponseHeader, body: Bytes) -> Self {
        let status = status.and_then(|code| StatusCode::from_u16(code).ok());
        let is_error = |status: &StatusCode| status.is_client_error() || status.is_server_error();
        Self::new(status.filter(is_error).unwrap_or(StatusCode::BAD_GATEWAY), header, body)
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The response for the client, unless it would reveal the gateway's own credential.
    pub fn response(
        &self,
        endpoint: &Endpoint,
        context: &ResponseContext,
    ) -> Result<(ResponseHeader, Bytes), Rejection> {
        if self.contains_credential(endpoint) {
            return Err(Rejection::UpstreamUnauthorized);
        }
        let body = in_dialect(&self.body, self.status, context);
        let header = self.header(body.len(), context).map_err(|_never| Rejection::Internal)?;
        Ok((header, body))
    }

    fn header(
        &self,
        body_bytes: usize,
        context: &ResponseContext,
    ) -> pingora_core::Result<ResponseHeader> {
        let status = context.dialect.status(self.status);
        let mut header = writer::json_header(status, body_bytes, context)?;
        for name in PASSED_HEADERS {
            if let Some(value) = self.header.headers.get(name) {
                header.insert_header(name, value.clone())?;
            }
        }
        header.remove_header(&header::CONNECTION);
        Ok(header)
    }

    /// A careless upstream may echo what we sent it.
    fn contains_credential(&self, endpoint: &Endpoint) -> bool {
        endpoint.credential.as_ref().is_some_and(|credential| {
            let value = credential.value.as_bytes();
            let secret = value.strip_prefix(b"Bearer ").unwrap_or(value);
            memmem::find(&self.body, secret).is_some()
        })
    }
}

fn in_dialect(body: &Bytes, status: StatusCode, context: &ResponseContext) -> Bytes {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let error = parsed.as_ref().and_then(|it| it.get("error"));
    let is_right = error.is_some_and(Value::is_object)
        && (context.dialect == Dialect::OpenAi
            || parsed.as_ref().and_then(|it| it.get("type")) == Some(&"error".into()));
    if is_right {
        return body.clone();
    }
    let message = parsed
        .as_ref()
        .and_then(message)
        .unwrap_or_else(|| format!("the model's server replied with status {}", status.as_u16()));
    let error = ErrorBody { status, message: &message, openai_type: None, param: None, code: None };
    context.dialect.error_body(&error, &context.request_id).into()
}

/// The text of an error, in the shapes that occur.
fn message(body: &Value) -> Option<String> {
    let text = ["/error/message", "/error", "/detail", "/message"]
        .into_iter()
        .filter_map(|pointer| body.pointer(pointer))
        .find_map(Value::as_str)?;
    Some(text.chars().take(MESSAGE_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn context(dialect: Dialect) -> ResponseContext {
        ResponseContext {
            dialect,
            request_id: HeaderValue::from_static("req-1"),
            allow_origin: None,
        }
    }

    fn usage_format(body: &'static str, dialect: Dialect) -> String {
        let bytes = Bytes::from_static(body.as_bytes());
        let body = in_dialect(&bytes, StatusCode::NOT_FOUND, &context(dialect));
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[test]
    fn an_error_in_the_right_shape_passes_byte_for_byte() {
        let openai = r#"{"error": {"message":"no","type":"NotFoundError","code":404}}"#;
        assert_eq!(usage_format(openai, Dialect::OpenAi), openai);
        let anthropic = r#"{"type":"error", "error":{"type":"x","message":"no"}}"#;
        assert_eq!(usage_format(anthropic, Dialect::Anthropic), anthropic);
    }

    #[test]
    fn every_other_shape_is_converted() {
        for body in
            [r#"{"detail":"Not Found"}"#, r#"{"error":"Not Found"}"#, r#"{"message":"Not Found"}"#]
        {
            assert_eq!(
                usage_format(body, Dialect::OpenAi),
                r#"{"error":{"code":null,"message":"Not Found","param":null,"type":"invalid_request_error"}}"#,
            );
        }
        assert_eq!(
            usage_format(r#"{"error":{"message":"no","type":"t"}}"#, Dialect::Anthropic),
            r#"{"error":{"message":"no","type":"not_found_error"},"request_id":"req-1","type":"error"}"#,
        );
        assert!(usage_format("<html>", Dialect::OpenAi).contains("status 404"));
    }
}
