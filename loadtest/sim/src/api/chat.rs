//! `POST /v1/chat/completions`.

use std::sync::Arc;

use serde::Serialize;

use super::call::{Answer, Call, FINGERPRINT};
use super::error::ApiError;
use super::generate::{self, Dialect, Events, Progress};
use super::request::{Fields, Streaming, chat_prompt};
use super::tools;
use crate::body::{BUSY_EVENT, Content};
use crate::clock;
use crate::config::Overload;
use crate::engine::{DecodeStep, Job, PromptTokens};
use crate::text::{FinishReason, Script};

pub(super) async fn answer(call: &Call, body: &[u8]) -> Answer {
    let fields = Fields::parse(call, body)?;
    fields.require("messages")?;
    let messages = fields.list("messages")?.map(Vec::as_slice).unwrap_or_default();
    let model = fields.model(call)?;
    let streaming = fields.streaming()?;
    let prompt = chat_prompt(messages)?;
    let asked = fields.count("max_completion_tokens")?.or(fields.count("max_tokens")?);
    let bounds = fields.bounds(call, prompt.len(), asked)?;
    let prompts = vec![prompt];
    let scripts = match tools::call(&fields, messages, &bounds) {
        Some(script) => vec![script],
        None => generate::prose(call, &prompts, fields.n()?, &bounds),
    };
    let job = Arc::new(Job { prompts, scripts });
    let head = Head {
        id: call.id("chatcmpl-"),
        created: clock::unix_seconds(),
        model,
        tool_id: tools::call_id(call),
    };
    if streaming.stream {
        let content = match generate::stream(call, job, Stream { head, streaming }) {
            Err(ApiError::Busy) if call.shared.config.overload == Overload::InStream => {
                Content::only(BUSY_EVENT)
            }
            content => content?,
        };
        return Ok(call.events(content));
    }
    let prompt = generate::whole(call, &job).await?;
    Ok(call.json(&completion(&head, &job, prompt)))
}

/// Why an answer ended, in OpenAI's words.
pub(super) fn finish_reason(script: &Script) -> &'static str {
    match (&script.finish, &script.call) {
        (FinishReason::Length, _) => "length",
        (FinishReason::Stop, Some(_)) => "tool_calls",
        (FinishReason::Stop | FinishReason::StopString(_), _) => "stop",
    }
}

/// The stop string that ended an answer.
pub(super) fn stop_reason(script: &Script) -> Option<&str> {
    match &script.finish {
        FinishReason::StopString(stop) => Some(stop),
        FinishReason::Stop | FinishReason::Length => None,
    }
}

struct Head {
    id: String,
    created: u64,
    model: String,
    tool_id: String,
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
    prompt_logprobs: (),
    prompt_token_ids: (),
    prompt_text: (),
    kv_transfer_params: (),
    ec_transfer_params: (),
    metrics: (),
}

#[derive(Serialize)]
struct Choice<'a> {
    index: usize,
    message: Message<'a>,
    logprobs: (),
    finish_reason: &'static str,
    stop_reason: Option<&'a str>,
    token_ids: (),
    routed_experts: (),
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: (),
    annotations: (),
    audio: (),
    function_call: (),
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[ToolCall<'a>; 1]>,
    reasoning: (),
}

#[derive(Serialize)]
struct ToolCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
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
    created_cache_tokens: usize,
    multimodal_tokens: (),
}

fn completion<'a>(head: &'a Head, job: &'a Job, prompt: PromptTokens) -> Completion<'a> {
    let completion_tokens = job.answer_tokens(usize::MAX);
    let choices = job.scripts.iter().enumerate().map(|(index, script)| Choice {
        index,
        message: message(head, script),
        logprobs: (),
        finish_reason: finish_reason(script),
        stop_reason: stop_reason(script),
        token_ids: (),
        routed_experts: (),
    });
    Completion {
        id: &head.id,
        object: "chat.completion",
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
                created_cache_tokens: prompt.created,
                multimodal_tokens: (),
            },
            completion_tokens_details: (),
        },
        prompt_logprobs: (),
        prompt_token_ids: (),
        prompt_text: (),
        kv_transfer_params: (),
        ec_transfer_params: (),
        metrics: (),
    }
}

fn message<'a>(head: &'a Head, script: &'a Script) -> Message<'a> {
    let call = script.call.as_deref().map(|name| {
        let function = Function { name, arguments: script.text() };
        [ToolCall { id: &head.tool_id, r#type: "function", function }]
    });
    Message {
        role: "assistant",
        content: call.is_none().then(|| script.text()),
        refusal: (),
        annotations: (),
        audio: (),
        function_call: (),
        tool_calls: call,
        reasoning: (),
    }
}

/// A chat as events.
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
    /// Only in the first chunk, and null there.
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_ids: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_text: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_fingerprint: Option<&'static str>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: usize,
    delta: Delta<'a>,
    logprobs: (),
    finish_reason: Option<&'static str>,
    /// Only in the last chunk of a choice; null unless a stop string came up.
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<Option<&'a str>>,
    /// In all but the first chunk, and null.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<()>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[ToolDelta<'a>; 1]>,
}

#[derive(Serialize)]
struct ToolDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    index: usize,
    function: FunctionDelta<'a>,
}

#[derive(Serialize)]
struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a str>,
}

/// The usage of a chunk in between, or of the closing one: they have different keys.
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
    created_cache_tokens: usize,
}

impl Stream {
    fn chunk<'a>(&'a self, choices: &'a [ChunkChoice<'a>], usage: Option<ChunkUsage>) -> Chunk<'a> {
        Chunk {
            id: &self.head.id,
            object: "chat.completion.chunk",
            created: self.head.created,
            model: &self.head.model,
            choices,
            usage,
            prompt_token_ids: None,
            prompt_text: None,
            system_fingerprint: None,
        }
    }

    fn usage_so_far(&self, prompt: PromptTokens, completion_tokens: usize) -> Option<ChunkUsage> {
        self.streaming.continuous.then_some(ChunkUsage {
            prompt_tokens: prompt.all,
            total_tokens: prompt.all + completion_tokens,
            completion_tokens,
            prompt_tokens_details: None,
            completion_tokens_details: Some(()),
        })
    }

    fn delta<'a>(&'a self, script: &'a Script, step: DecodeStep) -> Delta<'a> {
        let text = Some(script.slice(step.from, step.to)).filter(|text| !text.is_empty());
        let Some(name) = &script.call else {
            return Delta { content: text, ..Delta::default() };
        };
        let first = step.from == 0;
        let function = FunctionDelta { name: first.then_some(name.as_str()), arguments: text };
        let tool = ToolDelta {
            id: first.then_some(self.head.tool_id.as_str()),
            r#type: first.then_some("function"),
            index: 0,
            function,
        };
        Delta { tool_calls: (first || text.is_some()).then_some([tool]), ..Delta::default() }
    }
}

impl Dialect for Stream {
    fn open(&mut self, progress: &Progress<'_>, out: &mut Events) {
        for index in 0..progress.job.scripts.len() {
            let delta = Delta { role: Some("assistant"), content: Some(""), ..Delta::default() };
            let choice = ChunkChoice {
                index,
                delta,
                logprobs: (),
                finish_reason: None,
                stop_reason: None,
                token_ids: None,
            };
            let choices = [choice];
            let usage = self.usage_so_far(progress.prompt, 0);
            out.data(&Chunk {
                prompt_token_ids: Some(()),
                prompt_text: Some(()),
                ..self.chunk(&choices, usage)
            });
        }
    }

    fn tokens(&mut self, progress: &Progress<'_>, step: DecodeStep, out: &mut Events) {
        for (index, script) in progress.job.scripts.iter().enumerate() {
            let total = script.tokens();
            if step.from >= total {
                continue;
            }
            let last = step.to >= total;
            let choice = ChunkChoice {
                index,
                delta: self.delta(script, step),
                logprobs: (),
                finish_reason: last.then(|| finish_reason(script)),
                stop_reason: last.then(|| stop_reason(script)),
                token_ids: Some(()),
            };
            let usage = self.usage_so_far(progress.prompt, total.min(step.to));
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
                    created_cache_tokens: progress.prompt.created,
                }),
                completion_tokens_details: None,
            };
            let chunk = self.chunk(&[], Some(usage));
            out.data(&Chunk { system_fingerprint: Some(FINGERPRINT), ..chunk });
        }
        out.done();
    }
}
