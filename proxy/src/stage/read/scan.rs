//! Extracts the fields of a prompt that the gateway decides on, and the edits it may need.
//!
//! A caller admitted for one model must not be served another. So we must read the same values as
//! the upstream: a member we decide on may appear once, in its own case (Go's parser takes `Model`
//! for `model`), and must have its proper type, although some upstreams would take
//! `"stream": "true"` too.
//!
//! The body is never serialized again: a model's name upstream and our request for usage are edits.

use std::ops::Range;

pub use crate::body::edits::BodyEdits;
use crate::body::json::{self, InvalidJson, Member, ValueKind};
use crate::body::multipart::{self, Field, InvalidForm};

pub const MODEL_BYTES_MAX: usize = 256;
/// The longest escape of a one-byte character: `\u0061` is `a`.
const ESCAPED_BYTES_MAX: usize = 6;

const MODEL: &str = "model";
const STREAM: &str = "stream";
const STREAM_OPTIONS: &str = "stream_options";
const BACKGROUND: &str = "background";
const PREVIOUS: &str = "previous_response_id";
const INCLUDE_USAGE: &str = "include_usage";
const INCLUDE_USAGE_PATH: &str = "stream_options.include_usage";
const CONTINUOUS_USAGE: &str = "continuous_usage_stats";
const CONTINUOUS_USAGE_PATH: &str = "stream_options.continuous_usage_stats";

/// The fields of a prompt that the gateway decides on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptFields {
    /// Not empty, at most [`MODEL_BYTES_MAX`], no control characters.
    pub model: String,
    /// A JSON string with its quotes, or the value of a form field.
    pub model_span: Range<usize>,
    pub stream: bool,
    /// The usage reports the client requested.
    pub usage: UsageReporting,
    pub background: bool,
    /// `previous_response_id`: the stored response that this one continues.
    pub previous: Option<String>,
    options: StreamOptions,
    flags: Flags,
}

/// Which reports of a stream's usage are requested. Each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UsageReporting {
    Off,
    /// `include_usage`: the total, in an event of its own at the end.
    Total,
    /// And vLLM's `continuous_usage_stats`, which has an effect only together with
    /// `include_usage`: the total so far in every event.
    Continuous,
}

/// Where flags that are not in the body can be added.
#[derive(Clone, Debug, PartialEq, Eq)]
enum StreamOptions {
    /// Nowhere yet in a JSON body.
    Absent,
    Null(Range<usize>),
    Object {
        inside: usize,
        is_empty: bool,
    },
    Form {
        boundary: String,
    },
}

/// The two flags that request usage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Flags {
    include: Option<Field<bool>>,
    continuous: Option<Field<bool>>,
}

/// Why a body is not a prompt. Names fields and the types of values, never the values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrompt {
    #[error("invalid request body: {0}")]
    Json(InvalidJson),
    #[error("invalid form: {0}")]
    Form(InvalidForm),
    #[error("`{MODEL}` is missing")]
    ModelMissing,
    #[error("`{MODEL}` is empty")]
    ModelEmpty,
    #[error("`{MODEL}` is longer than {MODEL_BYTES_MAX} bytes")]
    ModelTooLong,
    /// Control characters, or half of a surrogate pair.
    #[error("`{MODEL}` has control characters or invalid escapes")]
    ModelCharacters,
    #[error("`{field}` must be {expected}, not {found}")]
    WrongKind { field: &'static str, expected: &'static str, found: ValueKind },
    /// Parsers would take either.
    #[error("`{field}` is given more than once")]
    Duplicate { field: &'static str },
    /// Some parsers ignore case and some do not.
    #[error("`{field}` must be in lower case")]
    Case { field: &'static str },
}

impl InvalidPrompt {
    /// The field at fault, for the `param` of an error body.
    pub fn param(&self) -> Option<&'static str> {
        match self {
            Self::Json(_) => None,
            Self::Form(invalid) => invalid.param(),
            Self::ModelMissing | Self::ModelEmpty | Self::ModelTooLong | Self::ModelCharacters => {
                Some(MODEL)
            }
            Self::WrongKind { field, .. } | Self::Duplicate { field } | Self::Case { field } => {
                Some(field)
            }
        }
    }
}

pub fn json(body: &[u8]) -> Result<PromptFields, InvalidPrompt> {
    let [model, stream, options, background, previous] =
        pick(body, [MODEL, STREAM, STREAM_OPTIONS, BACKGROUND, PREVIOUS].map(|key| (key, key)))?;
    let model = model.ok_or(InvalidPrompt::ModelMissing)?;
    let written = text_of(MODEL, body, &model)?;
    if written.len() > MODEL_BYTES_MAX * ESCAPED_BYTES_MAX {
        return Err(InvalidPrompt::ModelTooLong);
    }
    let name =
        json::unescaped(written).map_err(|json::LoneSurrogate| InvalidPrompt::ModelCharacters)?;
    let stream = stream.map(|member| flag(STREAM, &member, 0)).transpose()?;
    let (options, flags) = options
        .map_or(Ok((StreamOptions::Absent, Flags::default())), |it| json_options(body, &it))?;
    let background = background.map(|member| flag(BACKGROUND, &member, 0)).transpose()?;
    let previous = previous.map_or(Ok(None), |member| previous_response(body, &member))?;
    Ok(PromptFields {
        model: model_name(name.into_owned())?,
        model_span: model.value,
        stream: stream.is_some_and(|flag| flag.value),
        usage: flags.usage(),
        background: background.is_some_and(|flag| flag.value),
        previous,
        options,
        flags,
    })
}

/// Scans a `multipart/form-data` body; `content_type` is the request's header.
pub fn form(body: &[u8], content_type: &str) -> Result<PromptFields, InvalidPrompt> {
    let form = multipart::form(body, content_type).map_err(InvalidPrompt::Form)?;
    let flags = Flags { include: form.include_usage, continuous: form.continuous_usage };
    Ok(PromptFields {
        model: model_name(form.model.value)?,
        model_span: form.model.span,
        stream: form.stream,
        usage: flags.usage(),
        background: false,
        previous: None,
        options: StreamOptions::Form { boundary: form.boundary },
        flags,
    })
}

impl PromptFields {
    /// Sets the model's name upstream, if that is another one.
    pub fn rename_model(&self, upstream_model: &str, edits: &mut BodyEdits) {
        if upstream_model == self.model {
            return;
        }
        let written = match self.options {
            StreamOptions::Form { .. } => upstream_model.to_owned(),
            StreamOptions::Absent | StreamOptions::Null(_) | StreamOptions::Object { .. } => {
                serde_json::Value::from(upstream_model).to_string()
            }
        };
        edits.replace(self.model_span.clone(), written);
    }

    /// Requests at least the usage reports `least`. Changes nothing unless the prompt asks for a
    /// stream: vLLM rejects other requests with `stream_options`.
    ///
    /// The upstream may report more than `least`: a `continuous_usage_stats` that had no effect in
    /// the client's request may get one.
    pub fn request_usage(&self, least: UsageReporting, edits: &mut BodyEdits) {
        if !self.stream || least <= self.usage {
            return;
        }
        let missing = self.flags.raise(least, edits);
        if missing.is_empty() {
            return;
        }
        let members = || {
            let members: Vec<_> =
                missing.iter().map(|(key, _)| format!("\"{key}\":true")).collect();
            members.join(",")
        };
        match &self.options {
            // After the model, the one member that is always there.
            StreamOptions::Absent => {
                let options = format!(r#","{STREAM_OPTIONS}":{{{}}}"#, members());
                edits.insert(self.model_span.end, options);
            }
            StreamOptions::Null(span) => edits.replace(span.clone(), format!("{{{}}}", members())),
            StreamOptions::Object { inside, is_empty } => {
                edits.insert(*inside, members() + if *is_empty { "" } else { "," });
            }
            StreamOptions::Form { boundary } => {
                for (_, field) in &missing {
                    let disposition = format!("Content-Disposition: form-data; name=\"{field}\"");
                    let part = format!("--{boundary}\r\n{disposition}\r\n\r\ntrue\r\n");
                    edits.insert(0, part);
                }
            }
        }
    }
}

impl Flags {
    fn usage(&self) -> UsageReporting {
        let is_set = |flag: &Option<Field<bool>>| flag.as_ref().is_some_and(|flag| flag.value);
        match (is_set(&self.include), is_set(&self.continuous)) {
            (false, _) => UsageReporting::Off,
            (true, false) => UsageReporting::Total,
            (true, true) => UsageReporting::Continuous,
        }
    }

    /// Sets the flags for `least` where they are written; returns the others, as the key of the
    /// member and the name of the form field.
    fn raise(
        &self,
        least: UsageReporting,
        edits: &mut BodyEdits,
    ) -> Vec<(&'static str, &'static str)> {
        let mut missing = Vec::new();
        for (asks, flag, names) in [
            (UsageReporting::Total, &self.include, (INCLUDE_USAGE, multipart::INCLUDE_USAGE)),
            (
                UsageReporting::Continuous,
                &self.continuous,
                (CONTINUOUS_USAGE, multipart::CONTINUOUS_USAGE),
            ),
        ] {
            match flag {
                _ if least < asks => {}
                None => missing.push(names),
                Some(Field { value: true, .. }) => {}
                Some(Field { value: false, span }) => edits.replace(span.clone(), "true"),
            }
        }
        missing
    }
}

/// The members of the object `document` with these keys, each at most once. Beside each key is its
/// path for errors.
fn pick<'a, const N: usize>(
    document: &'a [u8],
    keys: [(&str, &'static str); N],
) -> Result<[Option<Member<'a>>; N], InvalidPrompt> {
    let mut picked = [const { None }; N];
    let mut invalid = None;
    json::members(document, |member| {
        for ((key, field), slot) in keys.into_iter().zip(&mut picked) {
            if !member.key_is_ignoring_case(key) {
                continue;
            }
            if slot.is_some() {
                invalid.get_or_insert(InvalidPrompt::Duplicate { field });
            } else if !member.key_is(key) {
                invalid.get_or_insert(InvalidPrompt::Case { field });
            }
            *slot = Some(member);
            return;
        }
    })
    .map_err(InvalidPrompt::Json)?;
    invalid.map_or(Ok(picked), Err)
}

/// The id of a stored response. It is only compared with ids that we know, none of which needs an
/// escape.
fn previous_response(body: &[u8], member: &Member<'_>) -> Result<Option<String>, InvalidPrompt> {
    if member.kind == ValueKind::Null {
        return Ok(None);
    }
    text_of(PREVIOUS, body, member).map(|id| Some(id.to_owned()))
}

/// The text between the quotes of a string.
fn text_of<'a>(
    field: &'static str,
    body: &'a [u8],
    member: &Member<'_>,
) -> Result<&'a str, InvalidPrompt> {
    if member.kind != ValueKind::String {
        let found = member.kind;
        return Err(InvalidPrompt::WrongKind { field, expected: "a string", found });
    }
    let written = body.get(member.value.start + 1..member.value.end - 1).unwrap_or_default();
    Ok(str::from_utf8(written).unwrap_or_default())
}

fn model_name(name: String) -> Result<String, InvalidPrompt> {
    if name.is_empty() {
        return Err(InvalidPrompt::ModelEmpty);
    }
    if name.len() > MODEL_BYTES_MAX {
        return Err(InvalidPrompt::ModelTooLong);
    }
    if name.contains(char::is_control) {
        return Err(InvalidPrompt::ModelCharacters);
    }
    Ok(name)
}

/// A boolean; SDKs write `null` for unset.
fn flag(
    field: &'static str,
    member: &Member<'_>,
    offset: usize,
) -> Result<Field<bool>, InvalidPrompt> {
    let value = match member.kind {
        ValueKind::Bool(value) => value,
        ValueKind::Null => false,
        found @ (ValueKind::String | ValueKind::Number | ValueKind::Array | ValueKind::Object) => {
            return Err(InvalidPrompt::WrongKind { field, expected: "a boolean", found });
        }
    };
    Ok(Field { value, span: offset + member.value.start..offset + member.value.end })
}

fn json_options(body: &[u8], member: &Member<'_>) -> Result<(StreamOptions, Flags), InvalidPrompt> {
    match member.kind {
        ValueKind::Object => {}
        ValueKind::Null => {
            return Ok((StreamOptions::Null(member.value.clone()), Flags::default()));
        }
        found @ (ValueKind::String | ValueKind::Number | ValueKind::Bool(_) | ValueKind::Array) => {
            let (field, expected) = (STREAM_OPTIONS, "an object");
            return Err(InvalidPrompt::WrongKind { field, expected, found });
        }
    }
    let start = member.value.start;
    let object = member.value_in(body);
    let [include, continuous] = pick(
        object,
        [(INCLUDE_USAGE, INCLUDE_USAGE_PATH), (CONTINUOUS_USAGE, CONTINUOUS_USAGE_PATH)],
    )?;
    let include = include.map(|member| flag(INCLUDE_USAGE_PATH, &member, start)).transpose()?;
    let continuous =
        continuous.map(|member| flag(CONTINUOUS_USAGE_PATH, &member, start)).transpose()?;
    let within = object.get(1..object.len() - 1).unwrap_or_default();
    let is_empty = within.trim_ascii().is_empty();
    Ok((StreamOptions::Object { inside: start + 1, is_empty }, Flags { include, continuous }))
}

#[cfg(test)]
mod tests;
