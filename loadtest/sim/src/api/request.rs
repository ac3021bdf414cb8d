//! Reads request bodies the way vLLM does: known fields are checked, unknown ones ignored.

use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use super::call::Call;
use super::error::ApiError;
use crate::config::Role;
use crate::text::AnswerLimits;
use crate::token;

/// Answers of one request.
const N_MAX: usize = 4;
/// Tokens that an image in a prompt stands for.
const IMAGE_TOKENS: usize = 64;
/// Fields of vLLM's that a provider refuses.
const VLLM_ONLY: [&str; 10] = [
    "top_k",
    "min_p",
    "min_tokens",
    "ignore_eos",
    "repetition_penalty",
    "stop_token_ids",
    "add_generation_prompt",
    "chat_template_kwargs",
    "structured_outputs",
    "kv_transfer_params",
];

/// A JSON object.
pub(super) struct Fields(pub(super) Map<String, Value>);

/// What every request that generates says about its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streaming {
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    /// Usage in every chunk; means nothing without `include_usage`.
    pub(super) continuous: bool,
}

impl Fields {
    pub(super) fn parse(call: &Call, body: &[u8]) -> Result<Self, ApiError> {
        let media = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media = media.unwrap_or("").split(';').next().unwrap_or("").trim();
        if !media.eq_ignore_ascii_case("application/json") {
            return Err(ApiError::NotJsonMedia);
        }
        if body.is_empty() {
            return Err(ApiError::EmptyBody);
        }
        let fields = serde_json::from_slice(body).map_err(|error| invalid_json(body, &error))?;
        let Value::Object(fields) = fields else {
            return Err(ApiError::WrongType { field: "", wanted: "dict" });
        };
        if call.role() == Role::Provider {
            refuse_vllm_only(&fields)?;
        }
        Ok(Self(fields))
    }

    /// The field, unless it is absent or null.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn require(&self, field: &'static str) -> Result<&Value, ApiError> {
        self.get(field).ok_or(ApiError::Missing { field, given: self.0.len() })
    }

    pub(super) fn text(&self, field: &'static str) -> Result<Option<&str>, ApiError> {
        let text = |value: &'_ Value| value.is_string();
        self.typed(field, "string", text).map(|value| value.and_then(Value::as_str))
    }

    pub(super) fn list(&self, field: &'static str) -> Result<Option<&Vec<Value>>, ApiError> {
        self.typed(field, "list", Value::is_array).map(|value| value.and_then(Value::as_array))
    }

    pub(super) fn count(&self, field: &'static str) -> Result<Option<usize>, ApiError> {
        let value = self.typed(field, "integer", Value::is_u64)?.and_then(Value::as_u64);
        Ok(value.map(|value| usize::try_from(value).unwrap_or(usize::MAX)))
    }

    pub(super) fn flag(&self, field: &'static str) -> Result<bool, ApiError> {
        let value = self.typed(field, "boolean", Value::is_boolean)?;
        Ok(value.and_then(Value::as_bool).unwrap_or(false))
    }

    /// The model that answers. vLLM takes its own when none is named.
    pub(super) fn model(&self, call: &Call) -> Result<String, ApiError> {
        let known = &call.shared.config.models;
        let Some(model) = self.text("model")? else {
            return match call.role() {
                Role::Vllm => Ok(call.shared.config.model_label().to_owned()),
                Role::Provider => Err(ApiError::Missing { field: "model", given: self.0.len() }),
            };
        };
        check_model(known, model)
    }

    pub(super) fn streaming(&self) -> Result<Streaming, ApiError> {
        let stream = self.flag("stream")?;
        let options = self.get("stream_options");
        if options.is_some() && !stream {
            return Err(ApiError::StreamOptions);
        }
        let set = |name| options.and_then(|o| o.get(name)).and_then(Value::as_bool) == Some(true);
        let include_usage = set("include_usage");
        let continuous = include_usage && set("continuous_usage_stats");
        Ok(Streaming { stream, include_usage, continuous })
    }

    pub(super) fn n(&self) -> Result<usize, ApiError> {
        let n = self.count("n")?.unwrap_or(1);
        if !(1..=N_MAX).contains(&n) {
            return Err(ApiError::OutOfRange { field: "n", given: n, max: N_MAX });
        }
        Ok(n)
    }

    /// The limits of an answer to a prompt of so many tokens: clamped, not refused, where
    /// only both together are too long.
    pub(super) fn bounds(
        &self,
        call: &Call,
        prompt_tokens: usize,
        asked: Option<usize>,
    ) -> Result<AnswerLimits, ApiError> {
        let model_len = call.shared.config.max_model_len;
        if let Some(asked) = asked.filter(|asked| *asked > model_len) {
            return Err(ApiError::TooManyTokens { asked, model_len });
        }
        if prompt_tokens >= model_len {
            return Err(ApiError::PromptTooLong { model_len });
        }
        let room = model_len - prompt_tokens;
        let stop = match self.get("stop").or_else(|| self.get("stop_sequences")) {
            Some(Value::String(stop)) => vec![stop.clone()],
            Some(Value::Array(stops)) => stops.iter().filter_map(text_of).collect(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
                Vec::new()
            }
        };
        Ok(AnswerLimits {
            tokens_max: asked.unwrap_or(room).min(room),
            ignore_end: self.flag("ignore_eos")?,
            stop,
        })
    }

    fn typed(
        &self,
        field: &'static str,
        wanted: &'static str,
        is: impl Fn(&Value) -> bool,
    ) -> Result<Option<&Value>, ApiError> {
        match self.get(field) {
            Some(value) if !is(value) => Err(ApiError::WrongType { field, wanted }),
            value => Ok(value),
        }
    }
}

/// Whether this server has the model.
pub(super) fn check_model(known: &[String], model: &str) -> Result<String, ApiError> {
    if known.iter().any(|name| name == model) {
        return Ok(model.to_owned());
    }
    Err(ApiError::UnknownModel { model: model.to_owned(), known: known.to_vec() })
}

/// The prompt of a chat: the messages in the template, open for the answer.
pub(super) fn chat_prompt(messages: &[Value]) -> Result<Vec<u64>, ApiError> {
    if messages.is_empty() {
        return Err(ApiError::NoMessages);
    }
    let mut prompt = Vec::new();
    for message in messages {
        let role = message.get("role").and_then(Value::as_str).unwrap_or("user");
        let mut content = message.get("content").map(content_text).unwrap_or_default();
        if let Some(calls) = message.get("tool_calls").filter(|calls| !calls.is_null()) {
            content.push_str(&calls.to_string());
        }
        token::encode_message(role, &content, &mut prompt);
    }
    token::open_answer(&mut prompt);
    Ok(prompt)
}

/// The text of a message's content, whether it is a string or parts.
pub(super) fn content_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(part_text).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

fn part_text(part: &Value) -> String {
    if let Some(text) = part.get("text").and_then(Value::as_str) {
        return text.to_owned();
    }
    match part.get("type").and_then(Value::as_str) {
        Some("image_url" | "input_image" | "image") => "\u{fffc}".repeat(IMAGE_TOKENS),
        _ => part.get("content").map(content_text).unwrap_or_default(),
    }
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn refuse_vllm_only(fields: &Map<String, Value>) -> Result<(), ApiError> {
    let options = fields.get("stream_options").and_then(Value::as_object);
    let known = ["include_usage", "include_obfuscation"];
    let unknown = options.and_then(|o| o.keys().find(|key| !known.contains(&key.as_str())));
    if let Some(name) = unknown {
        return Err(ApiError::UnknownParameter { name: format!("stream_options.{name}") });
    }
    match VLLM_ONLY.iter().find(|name| fields.contains_key(**name)) {
        Some(name) => Err(ApiError::UnknownParameter { name: (*name).to_owned() }),
        None => Ok(()),
    }
}

/// Says what Python's decoder would: where, counted from the start of the body, and why.
/// Where a value should be, Python points at the start of the word it found instead.
fn invalid_json(body: &[u8], error: &serde_json::Error) -> ApiError {
    let lines = body.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines.take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    let at = before + error.column().saturating_sub(usize::from(!error.is_eof()));
    let text = error.to_string();
    let problem = if text.starts_with("key must be a string") {
        "'Expecting property name enclosed in double quotes'"
    } else if text.starts_with("expected `,`") {
        "\"Expecting ',' delimiter\""
    } else if text.starts_with("expected `:`") {
        "\"Expecting ':' delimiter\""
    } else if text.starts_with("trailing characters") {
        "'Extra data'"
    } else {
        let word = body.get(..at).unwrap_or(body).iter().rev();
        let into_word = word.take_while(|byte| byte.is_ascii_alphanumeric()).count();
        return ApiError::InvalidJson { at: at - into_word, problem: "'Expecting value'" };
    };
    ApiError::InvalidJson { at, problem }
}
