//! `POST /tokenize` and `/detokenize`.

use serde::Serialize;
use serde_json::Value;

use super::call::{Answer, Call};
use super::error::ApiError;
use super::request::{Fields, chat_prompt};
use crate::token;

#[derive(Serialize)]
struct Tokenized {
    count: usize,
    max_model_len: usize,
    tokens: Vec<u64>,
    token_strs: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Detokenized {
    prompt: String,
}

/// Of a prompt, or of messages in the chat template.
pub(super) fn tokenize(call: &Call, body: &[u8]) -> Answer {
    let fields = Fields::parse(call, body)?;
    fields.model(call)?;
    let tokens = match fields.list("messages")? {
        Some(messages) => chat_prompt(messages)?,
        None => {
            fields.require("prompt")?;
            let mut tokens = Vec::new();
            token::encode(fields.text("prompt")?.unwrap_or_default(), &mut tokens);
            tokens
        }
    };
    let strings = || tokens.iter().map(|token| token::decode(&[*token])).collect();
    Ok(call.json(&Tokenized {
        count: tokens.len(),
        max_model_len: call.shared.config.max_model_len,
        token_strs: fields.flag("return_token_strs")?.then(strings),
        tokens,
    }))
}

pub(super) fn detokenize(call: &Call, body: &[u8]) -> Answer {
    let fields = Fields::parse(call, body)?;
    fields.model(call)?;
    fields.require("tokens")?;
    let tokens = fields.list("tokens")?.map(Vec::as_slice).unwrap_or_default();
    let tokens: Option<Vec<u64>> = tokens.iter().map(Value::as_u64).collect();
    let tokens = tokens.ok_or(ApiError::WrongType { field: "tokens", wanted: "integer" })?;
    Ok(call.json(&Detokenized { prompt: token::decode(&tokens) }))
}
