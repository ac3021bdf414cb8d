//! `POST /v1/responses`.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::call::{Answer, Call};
use super::error::ApiError;
use super::generate::{self, Dialect, Events, Progress};
use super::json::json_bytes;
use super::request::{Fields, chat_prompt};
use super::{stored, tools};
use crate::clock;
use crate::engine::{DecodeStep, Job, PromptTokens};
use crate::shared::ServerState;
use crate::text::{FinishReason, Script};

pub(super) async fn answer(call: &Call, body: &[u8]) -> Answer {
    let fields = Fields::parse(call, body)?;
    let input = fields.require("input")?;
    let model = fields.model(call)?;
    if let Some(previous) = fields.text("previous_response_id")? {
        stored::find(call, previous)?;
    }
    let messages = messages(&fields, input);
    let prompt = chat_prompt(&messages)?;
    let max_output_tokens = fields.count("max_output_tokens")?;
    let bounds = fields.bounds(call, prompt.len(), max_output_tokens)?;
    let prompts = vec![prompt];
    let script = match tools::call(&fields, &messages, &bounds) {
        Some(script) => script,
        None => generate::prose(call, &prompts, 1, &bounds).pop().ok_or(ApiError::EngineDead)?,
    };
    let head = Head {
        id: call.id("resp_"),
        item_id: call.id(if script.call.is_some() { "fc_" } else { "msg_" }),
        call_id: call.id("call_"),
        created_at: clock::unix_seconds(),
        model,
        instructions: fields.text("instructions")?.map(str::to_owned),
        tools: fields.get("tools").cloned().unwrap_or_else(|| json!([])),
        max_output_tokens: max_output_tokens.unwrap_or(bounds.tokens_max),
        previous: fields.text("previous_response_id")?.map(str::to_owned),
        store: fields.get("store") != Some(&Value::Bool(false)),
    };
    let job = Arc::new(Job { prompts, scripts: vec![script.clone()] });
    if fields.flag("stream")? {
        let stream = Stream { head, script, sequence: 0, shared: call.shared.clone() };
        return Ok(call.events(generate::stream(call, job, stream)?));
    }
    let prompt = generate::whole(call, &job).await?;
    let body: Bytes = json_bytes(&head.response(&script, Some(prompt))).into();
    if head.store {
        call.shared.stored.put(&head.id, body.clone());
    }
    Ok(call.json_bytes(body))
}

fn messages(fields: &Fields, input: &Value) -> Vec<Value> {
    let instructions = fields.get("instructions");
    let system = instructions.map(|text| json!({"role": "system", "content": text}));
    let items = input.as_array().cloned();
    let items = items.unwrap_or_else(|| vec![json!({"role": "user", "content": input})]);
    system.into_iter().chain(items).collect()
}

struct Head {
    id: String,
    item_id: String,
    call_id: String,
    created_at: u64,
    model: String,
    instructions: Option<String>,
    tools: Value,
    max_output_tokens: usize,
    previous: Option<String>,
    store: bool,
}

#[derive(Serialize)]
struct Response<'a> {
    id: &'a str,
    created_at: u64,
    incomplete_details: Option<Incomplete>,
    instructions: Option<&'a str>,
    metadata: (),
    model: &'a str,
    object: &'static str,
    output: Vec<Item<'a>>,
    parallel_tool_calls: bool,
    temperature: f64,
    tool_choice: &'static str,
    tools: &'a Value,
    top_p: f64,
    background: bool,
    max_output_tokens: usize,
    max_tool_calls: (),
    previous_response_id: Option<&'a str>,
    prompt: (),
    reasoning: (),
    service_tier: &'static str,
    status: &'static str,
    text: (),
    top_logprobs: (),
    truncation: &'static str,
    usage: Option<Usage>,
    user: (),
}

#[derive(Serialize)]
struct Incomplete {
    reason: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    Message {
        id: &'a str,
        content: Vec<Text<'a>>,
        role: &'static str,
        status: &'static str,
        r#type: &'static str,
    },
    Call {
        arguments: &'a str,
        call_id: &'a str,
        name: &'a str,
        r#type: &'static str,
        id: &'a str,
        status: &'static str,
    },
}

#[derive(Serialize)]
struct Text<'a> {
    annotations: [(); 0],
    text: &'a str,
    r#type: &'static str,
    logprobs: Option<[(); 0]>,
}

#[derive(Serialize)]
struct Usage {
    input_tokens: usize,
    input_tokens_details: InputDetails,
    output_tokens: usize,
    output_tokens_details: OutputDetails,
    total_tokens: usize,
}

#[derive(Serialize)]
struct InputDetails {
    cached_tokens: usize,
    cache_write_tokens: usize,
    input_tokens_per_turn: [(); 0],
    cached_tokens_per_turn: [(); 0],
}

#[derive(Serialize)]
struct OutputDetails {
    reasoning_tokens: usize,
    tool_output_tokens: usize,
    output_tokens_per_turn: [(); 0],
    tool_output_tokens_per_turn: [(); 0],
}

impl Head {
    /// The response; unfinished as long as the prompt's tokens are not given.
    fn response<'a>(&'a self, script: &'a Script, prompt: Option<PromptTokens>) -> Response<'a> {
        let cut = script.finish == FinishReason::Length;
        let status = match prompt {
            None => "in_progress",
            Some(_) if cut => "incomplete",
            Some(_) => "completed",
        };
        let incomplete = Incomplete { reason: "max_output_tokens" };
        Response {
            id: &self.id,
            created_at: self.created_at,
            incomplete_details: (prompt.is_some() && cut).then_some(incomplete),
            instructions: self.instructions.as_deref(),
            metadata: (),
            model: &self.model,
            object: "response",
            output: prompt.map(|_| self.item(script, true)).into_iter().collect(),
            parallel_tool_calls: true,
            temperature: 1.0,
            tool_choice: "auto",
            tools: &self.tools,
            top_p: 1.0,
            background: false,
            max_output_tokens: self.max_output_tokens,
            max_tool_calls: (),
            previous_response_id: self.previous.as_deref(),
            prompt: (),
            reasoning: (),
            service_tier: "auto",
            status,
            text: (),
            top_logprobs: (),
            truncation: "disabled",
            usage: prompt.map(|prompt| usage(prompt, script.tokens())),
            user: (),
        }
    }

    fn item<'a>(&'a self, script: &'a Script, done: bool) -> Item<'a> {
        let status = if done { "completed" } else { "in_progress" };
        match &script.call {
            Some(name) => Item::Call {
                arguments: if done { script.text() } else { "" },
                call_id: &self.call_id,
                name,
                r#type: "function_call",
                id: &self.item_id,
                status,
            },
            None => Item::Message {
                id: &self.item_id,
                content: done.then(|| text(script.text(), None)).into_iter().collect(),
                role: "assistant",
                status,
                r#type: "message",
            },
        }
    }
}

fn text(text: &str, logprobs: Option<[(); 0]>) -> Text<'_> {
    Text { annotations: [], text, r#type: "output_text", logprobs }
}

fn usage(prompt: PromptTokens, output_tokens: usize) -> Usage {
    Usage {
        input_tokens: prompt.all,
        input_tokens_details: InputDetails {
            cached_tokens: prompt.cached,
            cache_write_tokens: 0,
            input_tokens_per_turn: [],
            cached_tokens_per_turn: [],
        },
        output_tokens,
        output_tokens_details: OutputDetails {
            reasoning_tokens: 0,
            tool_output_tokens: 0,
            output_tokens_per_turn: [],
            tool_output_tokens_per_turn: [],
        },
        total_tokens: prompt.all + output_tokens,
    }
}

/// A response as events.
struct Stream {
    head: Head,
    script: Script,
    sequence: usize,
    shared: Arc<ServerState>,
}

/// The fields any event may have; each event has some of them.
#[derive(Default, Serialize)]
struct Event<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Item<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<[(); 0]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Response<'a>>,
    sequence_number: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    r#type: &'static str,
}

impl Stream {
    fn say<'a>(&'a self, sequence: &mut usize, out: &mut Events, event: Event<'a>) {
        let event = Event { sequence_number: *sequence, ..event };
        out.event(event.r#type, &event);
        *sequence += 1;
    }

    fn about_response(&self, kind: &'static str, prompt: Option<PromptTokens>) -> Event<'_> {
        let response = Some(self.head.response(&self.script, prompt));
        Event { response, r#type: kind, ..Event::default() }
    }

    fn about_item(&self, kind: &'static str, done: bool) -> Event<'_> {
        let item = Some(self.head.item(&self.script, done));
        Event { item, output_index: Some(0), r#type: kind, ..Event::default() }
    }

    fn within_item(&self, kind: &'static str) -> Event<'_> {
        Event {
            content_index: self.script.call.is_none().then_some(0),
            item_id: Some(&self.head.item_id),
            output_index: Some(0),
            r#type: kind,
            ..Event::default()
        }
    }
}

impl Dialect for Stream {
    fn open(&mut self, _progress: &Progress<'_>, out: &mut Events) {
        let mut sequence = self.sequence;
        for kind in ["response.created", "response.in_progress"] {
            self.say(&mut sequence, out, self.about_response(kind, None));
        }
        self.say(&mut sequence, out, self.about_item("response.output_item.added", false));
        if self.script.call.is_none() {
            let part = Some(text("", Some([])));
            let event = self.within_item("response.content_part.added");
            self.say(&mut sequence, out, Event { part, ..event });
        }
        self.sequence = sequence;
    }

    fn tokens(&mut self, _progress: &Progress<'_>, step: DecodeStep, out: &mut Events) {
        let delta = self.script.slice(step.from, step.to);
        if delta.is_empty() {
            return;
        }
        let mut sequence = self.sequence;
        let event = match self.script.call {
            Some(_) => self.within_item("response.function_call_arguments.delta"),
            None => Event { logprobs: Some([]), ..self.within_item("response.output_text.delta") },
        };
        self.say(&mut sequence, out, Event { delta: Some(delta), ..event });
        self.sequence = sequence;
    }

    fn close(&mut self, progress: &Progress<'_>, out: &mut Events) {
        let mut sequence = self.sequence;
        let whole = Some(self.script.text());
        if self.script.call.is_some() {
            let event = self.within_item("response.function_call_arguments.done");
            self.say(&mut sequence, out, Event { arguments: whole, ..event });
        } else {
            let event = self.within_item("response.output_text.done");
            self.say(&mut sequence, out, Event { text: whole, logprobs: Some([]), ..event });
            let part = Some(text(self.script.text(), None));
            let event = self.within_item("response.content_part.done");
            self.say(&mut sequence, out, Event { part, ..event });
        }
        self.say(&mut sequence, out, self.about_item("response.output_item.done", true));
        // vLLM says "completed" here even where the status is "incomplete".
        let event = self.about_response("response.completed", Some(progress.prompt));
        self.say(&mut sequence, out, event);
        if self.head.store {
            let body = json_bytes(&self.head.response(&self.script, Some(progress.prompt)));
            self.shared.stored.put(&self.head.id, body.into());
        }
        self.sequence = sequence;
    }
}
