//! `POST /v1/audio/transcriptions` and `/v1/audio/translations`: a multipart form.
//!
//! Not observed, written after vLLM's own protocol types. The transcript follows from
//! the bytes of the file; a second of audio is taken to be [`BYTES_PER_SECOND`].

use std::sync::Arc;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use memchr::memmem;
use serde::Serialize;

use super::call::{Answer, Call};
use super::error::ApiError;
use super::generate::{self, Dialect, Events, Progress};
use super::request::check_model;
use crate::clock;
use crate::config::Role;
use crate::engine::{DecodeStep, Job};
use crate::text::AnswerLimits;

/// Bytes of one second: 16 kHz, 16 bit, one channel.
const BYTES_PER_SECOND: usize = 32_000;
/// Tokens of a transcript at most.
const TOKENS_MAX: usize = 448;

#[derive(Serialize)]
struct Transcript<'a> {
    text: &'a str,
    usage: Duration,
}

#[derive(Serialize)]
struct Duration {
    r#type: &'static str,
    seconds: usize,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
}

#[derive(Serialize)]
struct Choice<'a> {
    delta: Delta<'a>,
    finish_reason: Option<&'static str>,
    stop_reason: (),
}

#[derive(Serialize)]
struct Delta<'a> {
    content: &'a str,
}

pub(super) async fn answer(call: &Call, body: &[u8]) -> Answer {
    let form = parts(call, body).ok_or(ApiError::Missing { field: "file", given: 0 })?;
    let field = |name: &str| form.iter().find(|part| part.name == name).map(|part| part.data);
    let text = |name: &str| field(name).map(String::from_utf8_lossy);
    let given = form.len();
    let file = field("file").ok_or(ApiError::Missing { field: "file", given })?;
    let model = match (text("model"), call.role()) {
        (Some(model), _) => check_model(&call.shared.config.models, &model)?,
        (None, Role::Vllm) => call.shared.config.model_label().to_owned(),
        (None, Role::Provider) => return Err(ApiError::Missing { field: "model", given }),
    };
    let prompts = vec![file.chunks(BYTES_PER_SECOND).map(second).collect()];
    let bounds = AnswerLimits { tokens_max: TOKENS_MAX, ignore_end: false, stop: Vec::new() };
    let scripts = generate::prose(call, &prompts, 1, &bounds);
    let job = Arc::new(Job { prompts, scripts });
    if text("stream").is_some_and(|stream| stream.eq_ignore_ascii_case("true")) {
        let object = if call.path.ends_with("translations") {
            "translation.chunk"
        } else {
            "transcription.chunk"
        };
        let (id, created) = (call.id("trsc-"), clock::unix_seconds());
        let stream = Stream { id, object, created, model };
        return Ok(call.events(generate::stream(call, job, stream)?));
    }
    generate::whole(call, &job).await?;
    let script = job.scripts.first().ok_or(ApiError::EngineDead)?;
    if text("response_format").as_deref() == Some("text") {
        let body = script.text().to_owned();
        return Ok(call.raw(StatusCode::OK, "text/plain; charset=utf-8", body));
    }
    let seconds = file.len().div_ceil(BYTES_PER_SECOND);
    let usage = Duration { r#type: "duration", seconds };
    Ok(call.json(&Transcript { text: script.text(), usage }))
}

/// A second of audio as a token.
fn second(bytes: &[u8]) -> u64 {
    bytes.iter().fold(256, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

struct Stream {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
}

impl Dialect for Stream {
    fn open(&mut self, _progress: &Progress<'_>, _out: &mut Events) {}

    fn tokens(&mut self, progress: &Progress<'_>, step: DecodeStep, out: &mut Events) {
        for script in &progress.job.scripts {
            let last = step.to >= script.tokens();
            out.data(&Chunk {
                id: &self.id,
                object: self.object,
                created: self.created,
                model: &self.model,
                choices: [Choice {
                    delta: Delta { content: script.slice(step.from, step.to) },
                    finish_reason: last.then_some("stop"),
                    stop_reason: (),
                }],
            });
        }
    }

    fn close(&mut self, _progress: &Progress<'_>, out: &mut Events) {
        out.done();
    }
}

/// One field of a form.
struct FormPart<'a> {
    name: &'a str,
    data: &'a [u8],
}

/// The fields of a form, in order; `None` if it is not one.
fn parts<'a>(call: &Call, body: &'a [u8]) -> Option<Vec<FormPart<'a>>> {
    let media = call.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    if !media.to_ascii_lowercase().starts_with("multipart/form-data") {
        return None;
    }
    let boundary = media.split("boundary=").nth(1)?.split(';').next()?.trim_matches('"');
    let delimiter = format!("--{boundary}");
    let starts = memmem::find_iter(body, delimiter.as_bytes());
    let starts: Vec<usize> = starts.map(|at| at + delimiter.len()).collect();
    let ends = starts.iter().skip(1).map(|next| next - delimiter.len());
    starts.iter().zip(ends).map(|(start, end)| part(body.get(*start..end)?)).collect()
}

fn part(bytes: &[u8]) -> Option<FormPart<'_>> {
    let head_end = memmem::find(bytes, b"\r\n\r\n")?;
    let (head, data) = bytes.split_at_checked(head_end)?;
    let head = std::str::from_utf8(head).ok()?;
    let name = head.split(" name=").nth(1)?.split(['\r', ';']).next()?.trim_matches('"');
    let data = data.strip_prefix(b"\r\n\r\n")?;
    Some(FormPart { name, data: data.strip_suffix(b"\r\n").unwrap_or(data) })
}
