//! Everything a server refuses, in the words of vLLM or of an OpenAI provider.
//!
//! vLLM's `type` is "Bad Request" where the body does not parse and "BadRequestError"
//! where a later check fails; only the latter speak Anthropic's shape under `/v1/messages`.

use http::{Method, StatusCode};
use serde::Serialize;

use super::json::json_bytes;
use crate::config::Role;
use crate::fault::InvalidFault;

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ApiError {
    NotFound,
    MethodNotAllowed,
    /// A provider's answer to a path it does not have.
    UnknownUrl {
        method: Method,
        path: String,
    },
    Unauthorized,
    BodyTooLarge,
    EmptyBody,
    NotJsonMedia,
    InvalidJson {
        at: usize,
        /// As Python prints it, quotes included.
        problem: &'static str,
    },
    Missing {
        field: &'static str,
        given: usize,
    },
    WrongType {
        field: &'static str,
        wanted: &'static str,
    },
    UnknownModel {
        model: String,
        known: Vec<String>,
    },
    NoPrompt,
    NoMessages,
    StreamOptions,
    TooManyTokens {
        asked: usize,
        model_len: usize,
    },
    PromptTooLong {
        model_len: usize,
    },
    OutOfRange {
        field: &'static str,
        given: usize,
        max: usize,
    },
    /// A provider's answer to what only vLLM knows.
    UnknownParameter {
        name: String,
    },
    UnknownResponse {
        id: String,
    },
    NotCancellable,
    Busy,
    ShuttingDown,
    EngineDead,
    RateLimited,
    /// The header that names a fault names none.
    InvalidFault(InvalidFault),
    /// A status that a fault asked for and that has no meaning of its own here.
    Injected {
        status: StatusCode,
    },
}

/// One row of the table below.
struct Row {
    status: StatusCode,
    kind: &'static str,
    message: String,
    param: Option<String>,
    code: Code,
    /// Refused while parsing: stays in OpenAI's shape everywhere.
    parsing: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Code {
    Number(u16),
    Text(&'static str),
    None,
}

#[derive(Serialize)]
struct OpenAi<'a> {
    error: OpenAiError<'a>,
}

#[derive(Serialize)]
struct OpenAiError<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: &'a Code,
}

#[derive(Serialize)]
struct Anthropic<'a> {
    r#type: &'a str,
    error: AnthropicError<'a>,
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    r#type: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Detail {
    detail: &'static str,
}

#[derive(Serialize)]
struct Plain {
    error: &'static str,
}

impl ApiError {
    /// The refusal that goes with a status.
    pub(crate) fn injected(code: u16) -> Self {
        match (code, StatusCode::from_u16(code)) {
            (429, _) => Self::RateLimited,
            (500, _) => Self::EngineDead,
            (503, _) => Self::Busy,
            (_, Ok(status)) => Self::Injected { status },
            (_, Err(_)) => Self::EngineDead,
        }
    }

    /// Seconds for the header `retry-after`; vLLM sends none, providers do with a 429.
    pub(crate) fn retry_after(&self) -> Option<u16> {
        (*self == Self::RateLimited).then_some(1)
    }

    /// Status and body.
    pub(crate) fn render(&self, role: Role, anthropic: bool) -> (StatusCode, Vec<u8>) {
        match (self, role) {
            (Self::NotFound, _) => {
                return (StatusCode::NOT_FOUND, json_bytes(&Detail { detail: "Not Found" }));
            }
            (Self::MethodNotAllowed, _) => {
                let body = Detail { detail: "Method Not Allowed" };
                return (StatusCode::METHOD_NOT_ALLOWED, json_bytes(&body));
            }
            (Self::Unauthorized, Role::Vllm) => {
                return (StatusCode::UNAUTHORIZED, json_bytes(&Plain { error: "Unauthorized" }));
            }
            (_, Role::Vllm | Role::Provider) => {}
        }
        let row = match (role, self.provider_row()) {
            (Role::Provider, Some(row)) => row,
            (Role::Provider | Role::Vllm, _) => self.row(),
        };
        let Row { status, kind, message, param, code, parsing } = &row;
        if anthropic && !parsing {
            let error = AnthropicError { r#type: kind, message };
            return (*status, json_bytes(&Anthropic { r#type: "error", error }));
        }
        let error = OpenAiError { message, r#type: kind, param: param.as_deref(), code };
        (*status, json_bytes(&OpenAi { error }))
    }

    /// Where a provider says it differently.
    fn provider_row(&self) -> Option<Row> {
        let row = |status, message, param: Option<&str>, code| Row {
            status,
            kind: "invalid_request_error",
            message,
            param: param.map(str::to_owned),
            code: Code::Text(code),
            parsing: false,
        };
        if let Self::UnknownModel { model, .. } = self {
            let message =
                format!("The model `{model}` does not exist or you do not have access to it.");
            return Some(row(StatusCode::NOT_FOUND, message, None, "model_not_found"));
        }
        if *self == Self::Unauthorized {
            let message = "Incorrect API key provided.".to_owned();
            return Some(row(StatusCode::UNAUTHORIZED, message, None, "invalid_api_key"));
        }
        None
    }

    fn row(&self) -> Row {
        match self {
            Self::EmptyBody => Row::parsing(
                "body",
                "{'type': 'missing', 'loc': 'body', 'msg': 'Field required', 'input': 'None'}",
            ),
            Self::NotJsonMedia => Row {
                param: None,
                ..Row::parsing("", "Unsupported Media Type: Only 'application/json' is allowed")
            },
            Self::InvalidJson { at, problem } => Row::parsing(
                &format!("body.{at}"),
                &format!(
                    "{{'type': 'json_invalid', 'loc': 'body.{at}', 'msg': 'JSON decode error', 'input': '<dict of 0 items>', 'ctx': {{'error': {problem}}}}}"
                ),
            ),
            Self::Missing { field, given } => Row::parsing(
                &format!("body.{field}"),
                &format!(
                    "{{'type': 'missing', 'loc': 'body.{field}', 'msg': 'Field required', 'input': '<dict of {given} items>'}}"
                ),
            ),
            Self::WrongType { field, wanted } => Row::parsing(
                &format!("body.{field}"),
                &format!(
                    "{{'type': '{wanted}_type', 'loc': 'body.{field}', 'msg': 'Input should be a valid {wanted}'}}"
                ),
            ),
            Self::NoPrompt => Row::checked(
                "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)",
                Some("prompt"),
            ),
            Self::NoMessages => Row::checked(
                "Cannot apply chat template to an empty conversation. Provide at least one message.",
                None,
            ),
            Self::StreamOptions => Row::checked(
                "Stream options can only be defined when `stream=True`. (parameter=stream_options)",
                Some("stream_options"),
            ),
            Self::TooManyTokens { asked, model_len } => Row::checked(
                &format!(
                    "max_tokens={asked} cannot be greater than max_model_len={model_len}. Please request fewer output tokens. (parameter=max_tokens, value={asked})"
                ),
                Some("max_tokens"),
            ),
            Self::PromptTooLong { model_len } => Row::too_long(*model_len),
            Self::OutOfRange { field, given, max } => Row::checked(
                &format!(
                    "{field} must be between 1 and {max}, got {given}. (parameter={field}, value={given})"
                ),
                Some(field),
            ),
            Self::NotFound
            | Self::MethodNotAllowed
            | Self::UnknownUrl { .. }
            | Self::Unauthorized
            | Self::BodyTooLarge
            | Self::UnknownModel { .. }
            | Self::UnknownParameter { .. }
            | Self::UnknownResponse { .. }
            | Self::NotCancellable
            | Self::Busy
            | Self::ShuttingDown
            | Self::EngineDead
            | Self::RateLimited
            | Self::InvalidFault(_)
            | Self::Injected { .. } => self.other_row(),
        }
    }

    /// The refusals whose status is not 400, and the few with a type of their own.
    fn other_row(&self) -> Row {
        let invalid = "invalid_request_error";
        match self {
            Self::UnknownModel { model, known } => {
                let aliases = known.join(", ");
                let message =
                    format!("The model `{model}` does not exist. Valid aliases: {aliases}.");
                Row::new(404, "NotFoundError", message).about("model")
            }
            Self::UnknownUrl { method, path } => {
                let message = format!("Invalid URL ({method} {path})");
                Row { code: Code::None, ..Row::new(404, invalid, message) }
            }
            Self::UnknownParameter { name } => {
                let message = format!("Unknown parameter: '{name}'.");
                let row = Row::new(400, invalid, message).about(name);
                Row { code: Code::Text("unknown_parameter"), ..row }
            }
            Self::UnknownResponse { id } => {
                let message = format!("Response with id '{id}' not found.");
                Row::new(404, invalid, message).about("response_id")
            }
            Self::NotCancellable => {
                let message = "Cannot cancel a synchronous response.".to_owned();
                Row::new(400, invalid, message).about("response_id")
            }
            Self::BodyTooLarge => {
                Row::new(413, "Request Entity Too Large", "Request body is too large.".to_owned())
            }
            Self::Busy => Row::new(503, "Service Unavailable", "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.".to_owned()),
            Self::ShuttingDown => Row::new(500, "InternalServerError", "cannot schedule new futures after shutdown".to_owned()),
            Self::RateLimited => {
                let row = Row::new(429, "requests", "Rate limit reached for requests.".to_owned());
                Row { code: Code::Text("rate_limit_exceeded"), ..row }
            }
            Self::InvalidFault(error) => Row::checked(&error.to_string(), Some("x-sim-fault")),
            Self::Injected { status } => {
                Row::new(status.as_u16(), "InjectedError", "A fault asked for this.".to_owned())
            }
            Self::NotFound
            | Self::MethodNotAllowed
            | Self::Unauthorized
            | Self::EmptyBody
            | Self::NotJsonMedia
            | Self::InvalidJson { .. }
            | Self::Missing { .. }
            | Self::WrongType { .. }
            | Self::NoPrompt
            | Self::NoMessages
            | Self::StreamOptions
            | Self::TooManyTokens { .. }
            | Self::PromptTooLong { .. }
            | Self::OutOfRange { .. }
            | Self::EngineDead => Row::new(500, "InternalServerError", "EngineCore encountered an issue. See stack trace (above) for the root cause.".to_owned()),
        }
    }
}

impl Row {
    fn new(status: u16, kind: &'static str, message: String) -> Self {
        let code = Code::Number(status);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, kind, message, param: None, code, parsing: false }
    }

    fn about(self, param: &str) -> Self {
        Self { param: Some(param.to_owned()), ..self }
    }

    fn parsing(param: &str, problem: &str) -> Self {
        let row = Self::new(400, "Bad Request", format!("1 validation error:\n  {problem}"));
        Self { parsing: true, ..row.about(param) }
    }

    fn checked(message: &str, param: Option<&str>) -> Self {
        let row = Self::new(400, "BadRequestError", message.to_owned());
        Self { param: param.map(str::to_owned), ..row }
    }

    /// The true count is not told: vLLM stops counting one behind the limit.
    fn too_long(model_len: usize) -> Self {
        let least = model_len.saturating_add(1);
        Self::checked(
            &format!(
                "This model's maximum context length is {model_len} tokens. However, your prompt contains at least {least} input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, value={least})"
            ),
            Some("input_tokens"),
        )
    }
}
