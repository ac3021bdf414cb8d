//! What the gateway decides from a prompt, found in one pass, and the edits it may need.
//!
//! Whoever is admitted for one model must not be served another. So what is read here has to be
//! what the upstream reads: a member we decide on may be there once, spelled in its own case
//! (Go's parser takes `Model` for `model`), and has to have the type it should have, although
//! some upstreams would take `"stream": "true"` too.
//!
//! The body is never written anew. What has to change, because a route has another name upstream
//! or because we want to count what the client did not ask us to count, is spliced.

use std::ops::Range;

pub use crate::body::edits::Edits;
use crate::body::json::{self, InvalidJson, Kind, Member};
use crate::body::multipart::{self, InvalidForm};

/// How long the name of a model may be.
pub const MODEL_BYTES_MAX: usize = 256;
/// The most bytes that JSON spells one byte of text with: `\u0061` is `a`.
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

/// What a request asks, as far as the gateway decides on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The model the client names: not empty, at most [`MODEL_BYTES_MAX`], no control characters.
    pub model: String,
    /// Where it stands in the body: a JSON string with its quotes, or the value of a form field.
    pub model_span: Range<usize>,
    /// Whether the answer shall come as a stream of events.
    pub stream: bool,
    /// What the client wants to know of the tokens of a stream.
    pub usage: UsageAsked,
    /// Whether the answer shall be made while nobody waits for it.
    pub background: bool,
    /// The stored response that this one continues.
    pub previous: Option<String>,
    options: Options,
}

/// What a client wants to know of the tokens that a stream cost. Each asks for more than the one
/// before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UsageAsked {
    /// Nothing.
    No,
    /// `include_usage`: the total, in an event of its own at the end.
    Yes,
    /// And `continuous_usage_stats`, which is vLLM's and counts only together with
    /// `include_usage`: the total so far in every event.
    Continuous,
}

/// Where in the body usage is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Options {
    /// Nowhere in a JSON body.
    Absent,
    /// `"stream_options": null`
    Null(Range<usize>),
    /// `"stream_options": {..}`
    Object { inside: usize, empty: bool, flags: Flags },
    /// Fields of a form.
    Form { boundary: String, flags: Flags },
}

/// The two flags that ask for usage, where they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flags {
    include: Option<Flag>,
    continuous: Option<Flag>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Flag {
    is_set: bool,
    span: Range<usize>,
}

/// Why a body is not a prompt. Names fields and the shape of values, never what they say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrompt {
    /// Not one JSON object in UTF-8, or nested too deep.
    #[error("invalid request body: {0}")]
    Json(InvalidJson),
    /// Not a form with a model in it.
    #[error("invalid form: {0}")]
    Form(InvalidForm),
    /// No model.
    #[error("`{MODEL}` is missing")]
    ModelMissing,
    /// A model without a name.
    #[error("`{MODEL}` is empty")]
    ModelEmpty,
    /// A name longer than [`MODEL_BYTES_MAX`].
    #[error("`{MODEL}` is longer than {MODEL_BYTES_MAX} bytes")]
    ModelTooLong,
    /// Control characters, or half of a surrogate pair.
    #[error("`{MODEL}` holds characters that no name of a model has")]
    ModelCharacters,
    /// A value of another kind than the field has.
    #[error("`{field}` has to be {expected}, not {found}")]
    WrongKind {
        /// Its path in the body.
        field: &'static str,
        /// The kinds it may have, as words.
        expected: &'static str,
        /// The kind it has.
        found: Kind,
    },
    /// A field that is there twice, of which parsers would take either.
    #[error("`{field}` is given more than once")]
    Duplicate {
        /// Its path in the body.
        field: &'static str,
    },
    /// A field spelled in another case, which some parsers take for it and some do not.
    #[error("`{field}` has to be written in lower case")]
    Case {
        /// Its path in the body.
        field: &'static str,
    },
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

/// Scans a JSON body.
///
/// # Errors
/// If it is no JSON object, or what we decide on is not there once and of the right kind.
pub fn json(body: &[u8]) -> Result<Scan, InvalidPrompt> {
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
    let options = options.map_or(Ok(Options::Absent), |member| json_options(body, &member))?;
    let background = background.map(|member| flag(BACKGROUND, &member, 0)).transpose()?;
    let previous = previous.map_or(Ok(None), |member| previous_response(body, &member))?;
    Ok(Scan {
        model: model_name(name.into_owned())?,
        model_span: model.value,
        stream: stream.is_some_and(|flag| flag.is_set),
        usage: options.usage(),
        background: background.is_some_and(|flag| flag.is_set),
        previous,
        options,
    })
}

/// Scans a `multipart/form-data` body; `content_type` is the request's header.
///
/// # Errors
/// If it is no such form, or what we decide on is not there once and of the right kind.
pub fn form(body: &[u8], content_type: &str) -> Result<Scan, InvalidPrompt> {
    let form = multipart::form(body, content_type).map_err(InvalidPrompt::Form)?;
    let flag = |field: multipart::Field<bool>| Flag { is_set: field.value, span: field.span };
    let flags = Flags {
        include: form.include_usage.map(flag),
        continuous: form.continuous_usage.map(flag),
    };
    let options = Options::Form { boundary: form.boundary, flags };
    Ok(Scan {
        model: model_name(form.model.value)?,
        model_span: form.model.span,
        stream: form.stream,
        usage: options.usage(),
        background: false,
        previous: None,
        options,
    })
}

impl Scan {
    /// Names the model as the upstream knows it, if it knows it by another name.
    pub fn rename_model(&self, upstream_model: &str, edits: &mut Edits) {
        if upstream_model == self.model {
            return;
        }
        let written = match self.options {
            Options::Form { .. } => upstream_model.to_owned(),
            Options::Absent | Options::Null(_) | Options::Object { .. } => {
                serde_json::Value::from(upstream_model).to_string()
            }
        };
        edits.replace(self.model_span.clone(), written);
    }

    /// Asks for usage, at least as much as `least`, when the client asks for less. Nothing is
    /// changed in a request for anything but a stream: there vLLM refuses `stream_options`.
    ///
    /// The upstream may tell more than `least`: a `continuous_usage_stats` that the client had
    /// set to no effect takes effect.
    pub fn ask_for_usage(&self, least: UsageAsked, edits: &mut Edits) {
        if !self.stream || least <= self.usage {
            return;
        }
        let none = Flags { include: None, continuous: None };
        match &self.options {
            // Behind the model, for that is always there.
            Options::Absent => {
                let members = members(&none.raise(least, edits));
                let at = self.model_span.end;
                edits.insert(at, format!(r#","{STREAM_OPTIONS}":{{{members}}}"#));
            }
            Options::Null(span) => {
                let members = members(&none.raise(least, edits));
                edits.replace(span.clone(), format!("{{{members}}}"));
            }
            Options::Object { inside, empty, flags } => {
                let unwritten = flags.raise(least, edits);
                if !unwritten.is_empty() {
                    let comma = if *empty { "" } else { "," };
                    edits.insert(*inside, members(&unwritten) + comma);
                }
            }
            Options::Form { boundary, flags } => {
                for (_, field) in flags.raise(least, edits) {
                    let disposition = format!("Content-Disposition: form-data; name=\"{field}\"");
                    let part = format!("--{boundary}\r\n{disposition}\r\n\r\ntrue\r\n");
                    edits.insert(0, part);
                }
            }
        }
    }
}

impl Options {
    fn usage(&self) -> UsageAsked {
        let (Self::Object { flags, .. } | Self::Form { flags, .. }) = self else {
            return UsageAsked::No;
        };
        let is_set = |flag: &Option<Flag>| flag.as_ref().is_some_and(|flag| flag.is_set);
        match (is_set(&flags.include), is_set(&flags.continuous)) {
            (false, _) => UsageAsked::No,
            (true, false) => UsageAsked::Yes,
            (true, true) => UsageAsked::Continuous,
        }
    }
}

impl Flags {
    /// Sets the flags that ask for `least` where they are written; the others are returned, as
    /// the key of the member and the name of the form field.
    fn raise(&self, least: UsageAsked, edits: &mut Edits) -> Vec<(&'static str, &'static str)> {
        let mut unwritten = Vec::new();
        for (asks, flag, names) in [
            (UsageAsked::Yes, &self.include, (INCLUDE_USAGE, multipart::INCLUDE_USAGE)),
            (
                UsageAsked::Continuous,
                &self.continuous,
                (CONTINUOUS_USAGE, multipart::CONTINUOUS_USAGE),
            ),
        ] {
            match flag {
                _ if least < asks => {}
                None => unwritten.push(names),
                Some(Flag { is_set: true, .. }) => {}
                Some(Flag { is_set: false, span }) => edits.replace(span.clone(), "true"),
            }
        }
        unwritten
    }
}

fn members(unwritten: &[(&str, &str)]) -> String {
    let member = |(key, _): &(&str, &str)| format!("\"{key}\":true");
    unwritten.iter().map(member).collect::<Vec<_>>().join(",")
}

/// The members of the object `document` with these keys, each at most once. Beside each key
/// stands the path by which a refusal names it.
fn pick<'a, const N: usize>(
    document: &'a [u8],
    keys: [(&str, &'static str); N],
) -> Result<[Option<Member<'a>>; N], InvalidPrompt> {
    let mut picked = [const { None }; N];
    let mut refused = None;
    json::members(document, |member| {
        for ((key, field), slot) in keys.into_iter().zip(&mut picked) {
            if !member.key_is_ignoring_case(key) {
                continue;
            }
            if slot.is_some() {
                refused.get_or_insert(InvalidPrompt::Duplicate { field });
            } else if !member.key_is(key) {
                refused.get_or_insert(InvalidPrompt::Case { field });
            }
            *slot = Some(member);
            return;
        }
    })
    .map_err(InvalidPrompt::Json)?;
    refused.map_or(Ok(picked), Err)
}

/// The id of a stored response, if there is one. It is only compared with ids that we know, none
/// of which needs an escape.
fn previous_response(body: &[u8], member: &Member<'_>) -> Result<Option<String>, InvalidPrompt> {
    if member.kind == Kind::Null {
        return Ok(None);
    }
    text_of(PREVIOUS, body, member).map(|id| Some(id.to_owned()))
}

/// What stands between the quotes of a string.
fn text_of<'a>(
    field: &'static str,
    body: &'a [u8],
    member: &Member<'_>,
) -> Result<&'a str, InvalidPrompt> {
    if member.kind != Kind::String {
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

/// A boolean. SDKs write `null` for what was not set.
fn flag(field: &'static str, member: &Member<'_>, offset: usize) -> Result<Flag, InvalidPrompt> {
    let is_set = match member.kind {
        Kind::Bool(is_set) => is_set,
        Kind::Null => false,
        found @ (Kind::String | Kind::Number | Kind::Array | Kind::Object) => {
            return Err(InvalidPrompt::WrongKind { field, expected: "a boolean", found });
        }
    };
    Ok(Flag { is_set, span: offset + member.value.start..offset + member.value.end })
}

fn json_options(body: &[u8], member: &Member<'_>) -> Result<Options, InvalidPrompt> {
    match member.kind {
        Kind::Object => {}
        Kind::Null => return Ok(Options::Null(member.value.clone())),
        found @ (Kind::String | Kind::Number | Kind::Bool(_) | Kind::Array) => {
            let (field, expected) = (STREAM_OPTIONS, "an object");
            return Err(InvalidPrompt::WrongKind { field, expected, found });
        }
    }
    let start = member.value.start;
    let object = body.get(member.value.clone()).unwrap_or_default();
    let [include, continuous] = pick(
        object,
        [(INCLUDE_USAGE, INCLUDE_USAGE_PATH), (CONTINUOUS_USAGE, CONTINUOUS_USAGE_PATH)],
    )?;
    let include = include.map(|member| flag(INCLUDE_USAGE_PATH, &member, start)).transpose()?;
    let continuous =
        continuous.map(|member| flag(CONTINUOUS_USAGE_PATH, &member, start)).transpose()?;
    let mut empty = true;
    json::members(object, |_| empty = false).map_err(InvalidPrompt::Json)?;
    let flags = Flags { include, continuous };
    Ok(Options::Object { inside: start + 1, empty, flags })
}

#[cfg(test)]
mod tests;
