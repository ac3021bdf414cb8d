//! The two protocols, and their error bodies.

use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

/// Whose protocol a path belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    OpenAi,
    Anthropic,
}

/// Anthropic's status for "overloaded".
const ANTHROPIC_OVERLOADED: u16 = 529;

/// An error, before it is written in a dialect.
pub struct ErrorBody<'a> {
    pub status: StatusCode,
    pub message: &'a str,
    /// Instead of the status' usual one.
    pub openai_type: Option<&'static str>,
    pub param: Option<&'static str>,
    pub code: Option<&'static str>,
}

impl Dialect {
    /// The dialect of a path. Listing models is in both; Anthropic's clients send their version.
    pub fn of(path: &str, headers: &HeaderMap) -> Self {
        let under = |prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let lists = under("/v1/models") && headers.contains_key("anthropic-version");
        if under("/v1/messages") || lists { Self::Anthropic } else { Self::OpenAi }
    }

    /// Anthropic's clients know 529 for what others call 503.
    pub fn status(self, status: StatusCode) -> StatusCode {
        if self == Self::Anthropic && status == StatusCode::SERVICE_UNAVAILABLE {
            return StatusCode::from_u16(ANTHROPIC_OVERLOADED).unwrap_or(status);
        }
        status
    }

    /// An error as JSON.
    pub fn error_body(self, error: &ErrorBody<'_>, request_id: &HeaderValue) -> String {
        let &ErrorBody { status, message, openai_type, param, code } = error;
        match self {
            Self::OpenAi => {
                let is_server_error = status.is_server_error();
                let kind = if is_server_error { "server_error" } else { "invalid_request_error" };
                let kind = openai_type.unwrap_or(kind);
                json!({
                    "error": { "message": message, "type": kind, "param": param, "code": code },
                })
            }
            Self::Anthropic => json!({
                "type": "error",
                "error": { "type": anthropic_type(status), "message": message },
                "request_id": request_id.to_str().unwrap_or_default(),
            }),
        }
        .to_string()
    }
}

fn anthropic_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 | 431 => "request_too_large",
        429 => "rate_limit_error",
        503 | ANTHROPIC_OVERLOADED => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_in_the_dialect_of_the_path() {
        let mut anthropic = HeaderMap::new();
        anthropic.insert("anthropic-version", "2023-06-01".parse().unwrap());
        for (path, headers, dialect) in [
            ("/v1/messages", HeaderMap::new(), Dialect::Anthropic),
            ("/v1/messages/nothing", HeaderMap::new(), Dialect::Anthropic),
            ("/v1/messagesx", HeaderMap::new(), Dialect::OpenAi),
            ("/v1/models", HeaderMap::new(), Dialect::OpenAi),
            ("/v1/models", anthropic.clone(), Dialect::Anthropic),
            ("/v1/chat/completions", anthropic, Dialect::OpenAi),
        ] {
            assert_eq!(Dialect::of(path, &headers), dialect, "{path}");
        }
    }
}
