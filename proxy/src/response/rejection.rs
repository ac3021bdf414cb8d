//! Every error response of the gateway itself: status, code and body.

use super::dialect::{Dialect, ErrorBody};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use std::time::Duration;

/// Why the gateway does not serve a request. Models are named as the client wrote them.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// No credential, or one that is unknown, expired, suspended or revoked: the same text for
    /// all, so that none of them can be told from another.
    #[error("the API key or token is missing or not valid")]
    Unauthenticated,
    #[error("you may not use the model `{model}`")]
    ModelNotAllowed { model: String },
    #[error("the model `{model}` does not exist")]
    UnknownModel { model: String },
    #[error("the model `{model}` does not support this operation")]
    UnsupportedOperation { model: String },
    /// Not created here, or not by this caller.
    #[error("the response `{id}` does not exist")]
    UnknownResponse { id: String },
    #[error("this path does not exist")]
    UnknownPath,
    #[error("this path only supports {allowed}")]
    MethodNotAllowed { allowed: Method },
    /// Parsers would differ about where the request ends.
    #[error("the request's framing is not accepted: {0}")]
    InvalidFraming(&'static str),
    /// The message names the field and the shape of its value.
    #[error("{message}")]
    InvalidBody { message: String, param: Option<&'static str> },
    /// More than `limits.bodyBytes`.
    #[error("the body is larger than {bytes_max} bytes")]
    BodyTooLarge { bytes_max: usize },
    /// More than `limits.headerBytes`.
    #[error("the header is larger than {bytes_max} bytes")]
    HeaderTooLarge { bytes_max: usize },
    #[error("the body did not arrive within {} s", timeout.as_secs())]
    BodyTimeout { timeout: Duration },
    /// `subject` is `this key` or `this model`.
    #[error(
        "{subject} has {limit} requests running, which is its limit; try again when one has finished"
    )]
    ConcurrencyLimited { subject: &'static str, limit: u32 },
    #[error("the service is overloaded; try again shortly")]
    Overloaded,
    /// No table yet, so neither keys nor models are known.
    #[error("the gateway has just started and knows no model yet; try again shortly")]
    NotReady,
    /// The issuer's keys could not be fetched yet.
    #[error("the identity provider cannot be reached; try again shortly")]
    IssuerUnavailable,
    #[error("no server of the model `{model}` is ready; try again shortly")]
    NoReadyEndpoint { model: String },
    /// Every endpoint tried failed before the first byte of its reply.
    #[error("the model's server could not be reached, or disconnected before it replied")]
    UpstreamFailed,
    #[error("the model's server did not answer in time")]
    UpstreamTimeout,
    /// It does not accept the gateway's own credential.
    #[error("the model's server rejects the gateway's credential; contact the administrator")]
    UpstreamUnauthorized,
    #[error("an internal error; the request id helps to find it")]
    Internal,
}

/// In metrics and logs only: OpenAI gives no code for what the message explains.
const NO_CODE: &str = "invalid_request";
/// Seconds after which a client may retry what was rejected for lack of capacity.
const RETRY_AFTER_SECONDS: u32 = 1;
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

impl Rejection {
    fn class(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::Unauthenticated => (S::UNAUTHORIZED, "invalid_api_key"),
            Self::ModelNotAllowed { .. } => (S::FORBIDDEN, "model_not_allowed"),
            Self::UnknownModel { .. } => (S::NOT_FOUND, "model_not_found"),
            Self::UnsupportedOperation { .. } | Self::UnknownPath => (S::NOT_FOUND, "unknown_url"),
            Self::UnknownResponse { .. } => (S::NOT_FOUND, "response_not_found"),
            Self::MethodNotAllowed { .. } => (S::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::InvalidFraming(_) | Self::InvalidBody { .. } => (S::BAD_REQUEST, NO_CODE),
            Self::BodyTooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "request_too_large"),
            Self::HeaderTooLarge { .. } => (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "header_too_large"),
            Self::BodyTimeout { .. } => (S::REQUEST_TIMEOUT, "request_timeout"),
            Self::ConcurrencyLimited { .. } => (S::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
            Self::Overloaded
            | Self::NotReady
            | Self::IssuerUnavailable
            | Self::NoReadyEndpoint { .. } => (S::SERVICE_UNAVAILABLE, "service_unavailable"),
            Self::UpstreamFailed | Self::UpstreamUnauthorized => (S::BAD_GATEWAY, "upstream_error"),
            Self::UpstreamTimeout => (S::GATEWAY_TIMEOUT, "upstream_timeout"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal_error"),
        }
    }

    pub fn status(&self, dialect: Dialect) -> StatusCode {
        dialect.status(self.class().0)
    }

    /// A bounded name for metrics and logs.
    pub fn code(&self) -> &'static str {
        self.class().1
    }

    pub fn body(&self, dialect: Dialect, request_id: &HeaderValue) -> String {
        let (status, code) = self.class();
        let is_limit = matches!(self, Self::ConcurrencyLimited { .. });
        let error = ErrorBody {
            status,
            message: &self.to_string(),
            openai_type: is_limit.then_some("requests"),
            param: self.param(),
            code: (code != NO_CODE).then_some(code),
        };
        dialect.error_body(&error, request_id)
    }

    fn param(&self) -> Option<&'static str> {
        if let Self::InvalidBody { param, .. } = self {
            return *param;
        }
        let is_model = matches!(self, Self::UnknownModel { .. } | Self::ModelNotAllowed { .. });
        is_model.then_some("model")
    }

    /// The headers besides content type and length.
    pub(super) fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        if let Self::MethodNotAllowed { allowed } = self {
            let allowed = HeaderValue::from_str(allowed.as_str());
            return allowed.map(|allowed| vec![(header::ALLOW, allowed)]).unwrap_or_default();
        }
        match self.class().0 {
            StatusCode::UNAUTHORIZED => {
                vec![(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))]
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => vec![
                (header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS)),
                (RETRY_AFTER_MS, HeaderValue::from(RETRY_AFTER_SECONDS * 1000)),
            ],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> HeaderValue {
        HeaderValue::from_static("id")
    }

    #[test]
    fn every_rejection_has_its_status_and_code_in_both_dialects() {
        let model = || "m".to_owned();
        for (rejection, openai, anthropic) in [
            (Rejection::Unauthenticated, (401, "invalid_api_key"), (401, "authentication_error")),
            (
                Rejection::ModelNotAllowed { model: model() },
                (403, "model_not_allowed"),
                (403, "permission_error"),
            ),
            (
                Rejection::UnknownModel { model: model() },
                (404, "model_not_found"),
                (404, "not_found_error"),
            ),
            (Rejection::UnknownPath, (404, "unknown_url"), (404, "not_found_error")),
            (
                Rejection::MethodNotAllowed { allowed: Method::GET },
                (405, "method_not_allowed"),
                (405, "invalid_request_error"),
            ),
            (
                Rejection::BodyTooLarge { bytes_max: 1 },
                (413, "request_too_large"),
                (413, "request_too_large"),
            ),
            (
                Rejection::ConcurrencyLimited { subject: "this key", limit: 1 },
                (429, "rate_limit_exceeded"),
                (429, "rate_limit_error"),
            ),
            (Rejection::Overloaded, (503, "service_unavailable"), (529, "overloaded_error")),
            (Rejection::UpstreamFailed, (502, "upstream_error"), (502, "api_error")),
            (Rejection::UpstreamTimeout, (504, "upstream_timeout"), (504, "api_error")),
        ] {
            assert_eq!(rejection.status(Dialect::OpenAi), openai.0, "{rejection}");
            let body = rejection.body(Dialect::OpenAi, &id());
            assert!(body.contains(&format!(r#""code":"{}""#, openai.1)), "{body}");
            assert_eq!(rejection.status(Dialect::Anthropic), anthropic.0, "{rejection}");
            let body = rejection.body(Dialect::Anthropic, &id());
            assert!(body.contains(&format!(r#""type":"{}""#, anthropic.1)), "{body}");
        }
    }

    #[test]
    fn an_invalid_body_names_its_field_and_has_no_code() {
        let rejection = Rejection::InvalidBody { message: "no".into(), param: Some("model") };
        assert_eq!(
            rejection.body(Dialect::OpenAi, &id()),
            r#"{"error":{"code":null,"message":"no","param":"model","type":"invalid_request_error"}}"#,
        );
    }
}
