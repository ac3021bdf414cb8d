//! `POST /v1/messages` and `/v1/messages/count_tokens`: the Anthropic dialect.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::call::{Answer, Call};
use super::error::ApiError;
use super::generate::{self, Dialect, Events, Progress};
use super::request::{Fields, chat_prompt};
use super::tools;
use crate::engine::{DecodeStep, Job, PromptTokens};
use crate::text::{FinishReason, Script};

pub(super) async fn answer(call: &Call, body: &[u8]) -> Answer {
    let fields = Fields::parse(call, body)?;
    for field in ["model", "messages", "max_tokens"] {
        fields.require(field)?;
    }
    let model = fields.model(call)?;
    let messages = messages(&fields)?;
    let prompt = chat_prompt(&messages)?;
    let bounds = fields.bounds(call, prompt.len(), fields.count("max_tokens")?)?;
    let prompts = vec![prompt];
    let scripts = match tools::call(&fields, &messages, &bounds) {
        Some(script) => vec![script],
        None => generate::prose(call, &prompts, 1, &bounds),
    };
    let job = Arc::new(Job { prompts, scripts });
    let head = Head { id: call.id("chatcmpl-"), model, tool_id: tools::call_id(call) };
    if fields.flag("stream")? {
        return Ok(call.events(generate::stream(call, job, Stream { head })?));
    }
    let prompt = generate::whole(call, &job).await?;
    let script = job.scripts.first().ok_or(ApiError::EngineDead)?;
    Ok(call.json(&Message {
        id: &head.id,
        r#type: "message",
        role: "assistant",
        content: &[block(&head, script, true)],
        model: &head.model,
        stop_reason: Some(stop_reason(script)),
        stop_sequence: stop_sequence(script),
        usage: Usage::whole(prompt, script.tokens()),
    }))
}

pub(super) fn count(call: &Call, body: &[u8]) -> Answer {
    let fields = Fields::parse(call, body)?;
    for field in ["model", "messages"] {
        fields.require(field)?;
    }
    fields.model(call)?;
    let tokens = chat_prompt(&messages(&fields)?)?.len();
    let context_management = Original { original_input_tokens: tokens };
    Ok(call.json(&Count { input_tokens: tokens, context_management }))
}

/// The messages, with the system prompt in front as in a chat.
fn messages(fields: &Fields) -> Result<Vec<Value>, ApiError> {
    let mut messages = fields.list("messages")?.cloned().unwrap_or_default();
    if let Some(system) = fields.get("system").filter(|_| !messages.is_empty()) {
        messages.insert(0, json!({"role": "system", "content": system}));
    }
    Ok(messages)
}

fn stop_reason(script: &Script) -> &'static str {
    match (&script.finish, &script.call) {
        (FinishReason::Length, _) => "max_tokens",
        (FinishReason::StopString(_), _) => "stop_sequence",
        (FinishReason::Stop, Some(_)) => "tool_use",
        (FinishReason::Stop, None) => "end_turn",
    }
}

fn stop_sequence(script: &Script) -> Option<&str> {
    super::chat::stop_reason(script)
}

struct Head {
    id: String,
    model: String,
    tool_id: String,
}

#[derive(Serialize)]
struct Count {
    input_tokens: usize,
    context_management: Original,
}

#[derive(Serialize)]
struct Original {
    original_input_tokens: usize,
}

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    r#type: &'static str,
    role: &'static str,
    content: &'a [Block<'a>],
    model: &'a str,
    stop_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_sequence: Option<&'a str>,
    usage: Usage,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text { text: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: Value },
}

#[derive(Serialize)]
struct Usage {
    input_tokens: usize,
    output_tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation_input_tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read_input_tokens: Option<usize>,
}

impl Usage {
    /// Cached tokens are not part of the input tokens here.
    fn whole(prompt: PromptTokens, output_tokens: usize) -> Self {
        Self {
            input_tokens: prompt.all - prompt.cached,
            output_tokens,
            cache_creation_input_tokens: Some(0),
            cache_read_input_tokens: Some(prompt.cached),
        }
    }
}

/// The answer as a content block, or the empty block that a stream starts with.
fn block<'a>(head: &'a Head, script: &'a Script, whole: bool) -> Block<'a> {
    let Some(name) = &script.call else {
        return Block::Text { text: if whole { script.text() } else { "" } };
    };
    // Arguments that the limit of tokens cut are no JSON; they become an empty object.
    let input = serde_json::from_str(script.text()).ok().filter(|_| whole);
    Block::ToolUse { id: &head.tool_id, name, input: input.unwrap_or_else(|| json!({})) }
}

/// A message as events.
struct Stream {
    head: Head,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event<'a> {
    MessageStart { message: Message<'a> },
    ContentBlockStart { index: usize, content_block: Block<'a> },
    ContentBlockDelta { index: usize, delta: Delta<'a> },
    ContentBlockStop { index: usize },
    MessageDelta { delta: Stopped<'a>, usage: Usage },
    MessageStop,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta<'a> {
    TextDelta { text: &'a str },
    InputJsonDelta { partial_json: &'a str },
}

#[derive(Serialize)]
struct Stopped<'a> {
    stop_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_sequence: Option<&'a str>,
}

impl Dialect for Stream {
    fn open(&mut self, progress: &Progress<'_>, out: &mut Events) {
        let message = Message {
            id: &self.head.id,
            r#type: "message",
            role: "assistant",
            content: &[],
            model: &self.head.model,
            stop_reason: None,
            stop_sequence: None,
            usage: Usage {
                input_tokens: progress.prompt.all - progress.prompt.cached,
                output_tokens: 0,
                cache_creation_input_tokens: None,
                cache_read_input_tokens: None,
            },
        };
        out.event("message_start", &Event::MessageStart { message });
        for script in &progress.job.scripts {
            let content_block = block(&self.head, script, false);
            out.event("content_block_start", &Event::ContentBlockStart { index: 0, content_block });
        }
    }

    fn tokens(&mut self, progress: &Progress<'_>, step: DecodeStep, out: &mut Events) {
        for script in &progress.job.scripts {
            let text = script.slice(step.from, step.to);
            if text.is_empty() {
                continue;
            }
            let delta = match script.call {
                Some(_) => Delta::InputJsonDelta { partial_json: text },
                None => Delta::TextDelta { text },
            };
            out.event("content_block_delta", &Event::ContentBlockDelta { index: 0, delta });
        }
    }

    fn close(&mut self, progress: &Progress<'_>, out: &mut Events) {
        out.event("content_block_stop", &Event::ContentBlockStop { index: 0 });
        for script in &progress.job.scripts {
            let delta =
                Stopped { stop_reason: stop_reason(script), stop_sequence: stop_sequence(script) };
            let usage = Usage::whole(progress.prompt, progress.answer_tokens());
            out.event("message_delta", &Event::MessageDelta { delta, usage });
        }
        out.event("message_stop", &Event::MessageStop);
    }
}
