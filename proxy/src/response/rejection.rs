//! Every answer the gateway gives by itself to say no, in the dialect of the path.

use crate::{
    response::writer::{self, Stamp},
    stage::accept::Dialect,
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use pingora_core::protocols::http::ServerSession;
use serde_json::json;
use std::time::Duration;

/// Why we refuse, or could not do, what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// No credential, or one that is unknown, expired, suspended or revoked: the same text for
    /// all, so that nobody can find out which.
    #[error("the API key or token is missing or not valid")]
    Unauthenticated,
    /// Known, but not for this model.
    #[error("you may not use the model `{model}`")]
    ModelNotAllowed {
        /// As the client wrote it.
        model: String,
    },
    /// No route serves it.
    #[error("the model `{model}` does not exist")]
    UnknownModel {
        /// As the client wrote it.
        model: String,
    },
    /// The route's upstream does not know the operation.
    #[error("the model `{model}` does not support this operation")]
    UnsupportedOperation {
        /// As the client wrote it.
        model: String,
    },
    /// A response that was not made here, or not by this caller.
    #[error("the response `{id}` does not exist")]
    UnknownResponse {
        /// As the client wrote it.
        id: String,
    },
    /// Not on the list of operations.
    #[error("this path does not exist")]
    UnknownPath,
    /// On the list, with another method.
    #[error("this path answers to {allowed} only")]
    WrongMethod {
        /// The one that works.
        allowed: Method,
    },
    /// Parsers would differ about where the request ends.
    #[error("the request's framing is not accepted: {0}")]
    Framing(&'static str),
    /// The body does not say what we need.
    #[error("{message}")]
    BadPrompt {
        /// Names the field and the shape of its value.
        message: String,
        /// The field.
        param: Option<&'static str>,
    },
    /// More than `limits.bodyBytes`.
    #[error("the body is larger than {bytes_max} bytes")]
    BodyTooLarge {
        /// The limit in force.
        bytes_max: usize,
    },
    /// More than `limits.headerBytes`.
    #[error("the header is larger than {bytes_max} bytes")]
    HeaderTooLarge {
        /// The limit in force.
        bytes_max: usize,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive within {} s", wait.as_secs())]
    BodyTooSlow {
        /// The limit in force.
        wait: Duration,
    },
    /// The key's or the model's concurrency is used up.
    #[error("{subject} has {limit} requests running, which is its limit; try again when one ends")]
    TooManyAtOnce {
        /// `this key` or `this model`.
        subject: &'static str,
        /// The limit in force.
        limit: u32,
    },
    /// We cannot take more just now.
    #[error("the service is saturated; try again shortly")]
    Saturated,
    /// Whom we would know, and what they may use, is not known yet.
    #[error("the gateway has just started and knows no model yet; try again shortly")]
    NoTable,
    /// The issuer's keys could not be fetched yet.
    #[error("the identity provider cannot be reached; try again shortly")]
    IssuerUnavailable,
    /// No endpoint of the model is ready.
    #[error("no server of the model `{model}` is ready; try again shortly")]
    NoEndpoint {
        /// The route's name.
        model: String,
    },
    /// Every endpoint that was tried refused, or broke before the first byte.
    #[error("the model's server could not be reached or broke off before answering")]
    UpstreamFailed,
    /// It did not answer in time.
    #[error("the model's server did not answer in time")]
    UpstreamTooSlow,
    /// It does not accept the gateway's own credential.
    #[error("the model's server refuses the gateway's credential; tell the administrator")]
    UpstreamCredential,
    /// Something that should not happen did.
    #[error("a defect in the gateway; the request id helps to find it")]
    Defect,
}

/// How a refusal is classified: OpenAI's `type` and `code`, Anthropic's `type`.
struct Class {
    status: StatusCode,
    openai_type: &'static str,
    openai_code: Option<&'static str>,
    anthropic_type: &'static str,
}

const fn class(
    status: StatusCode,
    openai_type: &'static str,
    openai_code: &'static str,
    anthropic_type: &'static str,
) -> Class {
    Class { status, openai_type, openai_code: Some(openai_code), anthropic_type }
}

const INVALID: &str = "invalid_request_error";
/// Seconds after which a client may try again what was refused for want of room.
const RETRY_AFTER_SECONDS: u32 = 1;
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
/// Anthropic's status for "overloaded".
const ANTHROPIC_OVERLOADED: u16 = 529;

impl Rejection {
    fn class(&self) -> Class {
        use StatusCode as S;
        match self {
            Self::Unauthenticated => {
                class(S::UNAUTHORIZED, INVALID, "invalid_api_key", "authentication_error")
            }
            Self::ModelNotAllowed { .. } => {
                class(S::FORBIDDEN, INVALID, "model_not_allowed", "permission_error")
            }
            Self::UnknownModel { .. } => {
                class(S::NOT_FOUND, INVALID, "model_not_found", "not_found_error")
            }
            Self::UnsupportedOperation { .. } | Self::UnknownPath => {
                class(S::NOT_FOUND, INVALID, "unknown_url", "not_found_error")
            }
            Self::UnknownResponse { .. } => {
                class(S::NOT_FOUND, INVALID, "response_not_found", "not_found_error")
            }
            Self::WrongMethod { .. } => {
                class(S::METHOD_NOT_ALLOWED, INVALID, "method_not_allowed", INVALID)
            }
            Self::Framing(_) | Self::BadPrompt { .. } => Class {
                status: S::BAD_REQUEST,
                openai_type: INVALID,
                openai_code: None,
                anthropic_type: INVALID,
            },
            Self::BodyTooLarge { .. } => {
                class(S::PAYLOAD_TOO_LARGE, INVALID, "request_too_large", "request_too_large")
            }
            Self::HeaderTooLarge { .. } => class(
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                INVALID,
                "header_too_large",
                "request_too_large",
            ),
            Self::BodyTooSlow { .. } => {
                class(S::REQUEST_TIMEOUT, INVALID, "request_timeout", INVALID)
            }
            Self::TooManyAtOnce { .. } => {
                class(S::TOO_MANY_REQUESTS, "requests", "rate_limit_exceeded", "rate_limit_error")
            }
            Self::Saturated | Self::NoTable | Self::IssuerUnavailable | Self::NoEndpoint { .. } => {
                class(
                    S::SERVICE_UNAVAILABLE,
                    "server_error",
                    "service_unavailable",
                    "overloaded_error",
                )
            }
            Self::UpstreamFailed | Self::UpstreamCredential => {
                class(S::BAD_GATEWAY, "server_error", "upstream_error", "api_error")
            }
            Self::UpstreamTooSlow => {
                class(S::GATEWAY_TIMEOUT, "server_error", "upstream_timeout", "api_error")
            }
            Self::Defect => {
                class(S::INTERNAL_SERVER_ERROR, "server_error", "internal_error", "api_error")
            }
        }
    }

    /// The status in this dialect. Anthropic's clients know 529 for what others call 503.
    pub fn status(&self, dialect: Dialect) -> StatusCode {
        let status = self.class().status;
        if dialect == Dialect::Anthropic && status == StatusCode::SERVICE_UNAVAILABLE {
            return StatusCode::from_u16(ANTHROPIC_OVERLOADED).unwrap_or(status);
        }
        status
    }

    /// A bounded name for metrics and logs.
    pub fn code(&self) -> &'static str {
        self.class().openai_code.unwrap_or("invalid_request")
    }

    /// The body, as JSON.
    pub fn body(&self, dialect: Dialect, request_id: &str) -> String {
        let Class { openai_type, openai_code, anthropic_type, .. } = self.class();
        let message = self.to_string();
        match dialect {
            Dialect::OpenAi => json!({ "error": {
                "message": message, "type": openai_type, "param": self.param(), "code": openai_code,
            }}),
            Dialect::Anthropic => json!({
                "type": "error",
                "error": { "type": anthropic_type, "message": message },
                "request_id": request_id,
            }),
        }
        .to_string()
    }

    fn param(&self) -> Option<&'static str> {
        if let Self::BadPrompt { param, .. } = self {
            return *param;
        }
        let is_model = matches!(self, Self::UnknownModel { .. } | Self::ModelNotAllowed { .. });
        is_model.then_some("model")
    }

    /// The headers that go with it, beside content type and length.
    fn headers(&self, status: StatusCode) -> Vec<(HeaderName, HeaderValue)> {
        if let Self::WrongMethod { allowed } = self {
            let allowed = HeaderValue::from_str(allowed.as_str());
            return allowed.map(|allowed| vec![(header::ALLOW, allowed)]).unwrap_or_default();
        }
        match status.as_u16() {
            401 => vec![(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))],
            429 | 503 | ANTHROPIC_OVERLOADED => vec![
                (header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS)),
                (RETRY_AFTER_MS, HeaderValue::from(RETRY_AFTER_SECONDS * 1000)),
            ],
            _ => Vec::new(),
        }
    }

    /// Writes the refusal.
    ///
    /// # Errors
    /// If the client is gone.
    pub async fn send(
        &self,
        session: &mut ServerSession,
        stamp: &Stamp,
    ) -> pingora_core::Result<()> {
        let status = self.status(stamp.dialect);
        let body = self.body(stamp.dialect, stamp.request_id.to_str().unwrap_or_default());
        let mut header = writer::json_header(status, body.len(), stamp)?;
        for (name, value) in self.headers(status) {
            header.insert_header(name, value)?;
        }
        if let Self::Framing(_) = self {
            // Nobody knows where the next request would begin.
            session.set_keepalive(None);
        }
        writer::send(session, header, body.into()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_status_and_code_in_both_dialects() {
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
                Rejection::WrongMethod { allowed: Method::GET },
                (405, "method_not_allowed"),
                (405, INVALID),
            ),
            (
                Rejection::BodyTooLarge { bytes_max: 1 },
                (413, "request_too_large"),
                (413, "request_too_large"),
            ),
            (
                Rejection::TooManyAtOnce { subject: "this key", limit: 1 },
                (429, "rate_limit_exceeded"),
                (429, "rate_limit_error"),
            ),
            (Rejection::Saturated, (503, "service_unavailable"), (529, "overloaded_error")),
            (Rejection::UpstreamFailed, (502, "upstream_error"), (502, "api_error")),
            (Rejection::UpstreamTooSlow, (504, "upstream_timeout"), (504, "api_error")),
        ] {
            assert_eq!(rejection.status(Dialect::OpenAi), openai.0, "{rejection}");
            let body = rejection.body(Dialect::OpenAi, "id");
            assert!(body.contains(&format!(r#""code":"{}""#, openai.1)), "{body}");
            assert_eq!(rejection.status(Dialect::Anthropic), anthropic.0, "{rejection}");
            let body = rejection.body(Dialect::Anthropic, "id");
            assert!(body.contains(&format!(r#""type":"{}""#, anthropic.1)), "{body}");
        }
    }

    #[test]
    fn a_bad_prompt_names_its_field_and_has_no_code() {
        let rejection = Rejection::BadPrompt { message: "no".into(), param: Some("model") };
        assert_eq!(
            rejection.body(Dialect::OpenAi, "id"),
            r#"{"error":{"code":null,"message":"no","param":"model","type":"invalid_request_error"}}"#,
        );
    }
}
