//! `POST /v1/completions`.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::call::{Answer, Call, FINGERPRINT};
use super::chat::{finish_reason, stop_reason};
use super::error::ApiError;
use super::generate::{self, Dialect, Events, Progress};
use super::request::{Fields, Streaming};
use crate::clock;
use crate::engine::{DecodeStep, Job, PromptTokens};
use crate::token;

/// Tokens of an answer whose request names no limit.
const TOKENS_DEFAULT: usize = 16;

pub(super) async fn answer(call: &Call, body: &[u8]) -> Answer {
    let fields = Fields::parse(call, body)?;
    let model = fields.model(call)?;
    let streaming = fields.streaming()?;
    let prompts = prompts(fields.get("prompt"))?;
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    let asked = fields.count("max_tokens")?.unwrap_or(TOKENS_DEFAULT);
    let bounds = fields.bounds(call, longest, Some(asked))?;
    let scripts = generate::prose(call, &prompts, fields.n()?, &bounds);
    let job = Arc::new(Job { prompts, scripts });
    let head = Head { id: call.id("cmpl-"), created: clock::unix_seconds(), model };
    if streaming.stream {
        return Ok(call.events(generate::stream(call, job, Stream { head, streaming })?));
    }
    let prompt = generate::whole(call, &job).await?;
    Ok(call.json(&completion(&head, &job, prompt)))
}

/// A prompt is a text or tokens, or a list of either.
fn prompts(prompt: Option<&Value>) -> Result<Vec<Vec<u64>>, ApiError> {
    let prompt = prompt.ok_or(ApiError::NoPrompt)?;
    let prompts = match prompt {
        Value::Array(items) if items.iter().all(Value::is_u64) => vec![tokens(prompt)],
        Value::Array(items) => items.iter().map(tokens).collect(),
        Value::String(_) => vec![tokens(prompt)],
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err(ApiError::WrongType { field: "prompt", wanted: "string" });
        }
    };
    if prompts.iter().any(Vec::is_empty) {
        return Err(ApiError::NoPrompt);
    }
    Ok(prompts)
}

fn tokens(prompt: &Value) -> Vec<u64> {
    let mut tokens = Vec::new();
    match prompt {
        Value::String(text) => token::encode(text, &mut tokens),
        Value::Array(numbers) => tokens.extend(numbers.iter().filter_map(Value::as_u64)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
    }
    tokens
}

struct Head {
    id: String,
    created: u64,
    model: String,
}

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    service_tier: (),
    system_fingerprint: &'static str,
    usage: Usage,
    kv_transfer_params: (),
}

#[derive(Serialize)]
struct Choice<'a> {
    index: usize,
    text: &'a str,
    logprobs: (),
    finish_reason: &'static str,
    stop_reason: Option<&'a str>,
    token_ids: (),
    prompt_logprobs: (),
    prompt_token_ids: (),
    routed_experts: (),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
    completion_tokens: usize,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: (),
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: usize,
    created_cache_tokens: (),
    multimodal_tokens: (),
}

fn completion<'a>(head: &'a Head, job: &'a Job, prompt: PromptTokens) -> Completion<'a> {
    let completion_tokens = job.answer_tokens(usize::MAX);
    let choices = job.scripts.iter().enumerate().map(|(index, script)| Choice {
        index,
        text: script.text(),
        logprobs: (),
        finish_reason: finish_reason(script),
        stop_reason: stop_reason(script),
        token_ids: (),
        prompt_logprobs: (),
        prompt_token_ids: (),
        routed_experts: (),
    });
    Completion {
        id: &head.id,
        object: "text_completion",
        created: head.created,
        model: &head.model,
        choices: choices.collect(),
        service_tier: (),
        system_fingerprint: FINGERPRINT,
        usage: Usage {
            prompt_tokens: prompt.all,
            total_tokens: prompt.all + completion_tokens,
            completion_tokens,
            prompt_tokens_details: PromptDetails {
                cached_tokens: prompt.cached,
                created_cache_tokens: (),
                multimodal_tokens: (),
            },
            completion_tokens_details: (),
        },
        kv_transfer_params: (),
    }
}

/// A completion as events.
struct Stream {
    head: Head,
    streaming: Streaming,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [ChunkChoice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<ChunkUsage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_fingerprint: Option<&'static str>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: usize,
    text: &'a str,
    logprobs: (),
    finish_reason: Option<&'static str>,
    stop_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct ChunkUsage {
    prompt_tokens: usize,
    total_tokens: usize,
    completion_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<ClosingDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<()>,
}

#[derive(Serialize)]
struct ClosingDetails {
    cached_tokens: usize,
}

impl Stream {
    fn chunk<'a>(&'a self, choices: &'a [ChunkChoice<'a>], usage: Option<ChunkUsage>) -> Chunk<'a> {
        Chunk {
            id: &self.head.id,
            object: "text_completion",
            created: self.head.created,
            model: &self.head.model,
            choices,
            usage,
            system_fingerprint: None,
        }
    }
}

impl Dialect for Stream {
    fn open(&mut self, _progress: &Progress<'_>, _out: &mut Events) {}

    fn tokens(&mut self, progress: &Progress<'_>, step: DecodeStep, out: &mut Events) {
        for (index, script) in progress.job.scripts.iter().enumerate() {
            let total = script.tokens();
            if step.from >= total {
                continue;
            }
            let last = step.to >= total;
            let choice = ChunkChoice {
                index,
                text: script.slice(step.from, step.to),
                logprobs: (),
                finish_reason: last.then(|| finish_reason(script)),
                stop_reason: stop_reason(script).filter(|_| last),
            };
            let completion_tokens = total.min(step.to);
            let usage = self.streaming.continuous.then_some(ChunkUsage {
                prompt_tokens: progress.prompt.all,
                total_tokens: progress.prompt.all + completion_tokens,
                completion_tokens,
                prompt_tokens_details: None,
                completion_tokens_details: Some(()),
            });
            out.data(&self.chunk(&[choice], usage));
        }
    }

    fn close(&mut self, progress: &Progress<'_>, out: &mut Events) {
        if self.streaming.include_usage {
            let completion_tokens = progress.answer_tokens();
            let usage = ChunkUsage {
                prompt_tokens: progress.prompt.all,
                total_tokens: progress.prompt.all + completion_tokens,
                completion_tokens,
                prompt_tokens_details: Some(ClosingDetails {
                    cached_tokens: progress.prompt.cached,
                }),
                completion_tokens_details: None,
            };
            let chunk = self.chunk(&[], Some(usage));
            out.data(&Chunk { system_fingerprint: Some(FINGERPRINT), ..chunk });
        }
        out.done();
    }
}
