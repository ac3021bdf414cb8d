//! Which operation, through which entry?
//!
//! The list below is the whole of what can be asked for. A path is compared byte for byte and
//! never normalised: whatever is not on the list, in exactly this spelling, does not exist.

use crate::{response::rejection::Rejection, usage::UsageFormat};
use http::{HeaderMap, HeaderValue, Method, header};

/// One of the two public faces; decided by the listener, never by a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    /// For programs outside, with an API key.
    External,
    /// For programs inside, with the token they already have.
    Internal,
}

/// Whose protocol a path belongs to; errors are written in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `{"error": {..}}`.
    OpenAi,
    /// `{"type": "error", "error": {..}}`.
    Anthropic,
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Something of a model.
    Ask(&'static Operation),
    /// A stored response, or that it be cancelled: goes where the response was made.
    Stored {
        /// The operation as upstreams know it.
        operation: &'static Operation,
        /// The response's id.
        id: String,
    },
    /// The models this caller may use.
    ListModels,
    /// One of them.
    ShowModel(String),
    /// What a browser asks before it calls.
    Preflight,
}

/// Something that can be asked of a model.
#[derive(Debug, PartialEq, Eq)]
pub struct Operation {
    /// In logs and metrics.
    pub name: &'static str,
    /// The path, here and at the upstream.
    pub path: &'static str,
    /// Where the request says which model it means.
    pub body: Body,
    /// How the reply says what was used.
    pub usage_format: UsageFormat,
    /// Which upstreams know it.
    pub upstreams: Upstreams,
}

/// The form of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// A JSON object.
    Json,
    /// `multipart/form-data`.
    Form,
    /// None: the path says it all.
    Empty,
}

/// Which kinds of upstream know an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstreams {
    /// Model servers and providers.
    All,
    /// Model servers only.
    Served,
    /// Providers only.
    Provider,
}

const fn json(name: &'static str, path: &'static str, usage_format: UsageFormat) -> Operation {
    Operation { name, path, body: Body::Json, usage_format, upstreams: Upstreams::All }
}

const fn form(name: &'static str, path: &'static str) -> Operation {
    Operation {
        name,
        path,
        body: Body::Form,
        usage_format: UsageFormat::Audio,
        upstreams: Upstreams::All,
    }
}

/// Everything that can be asked of a model with POST.
pub static OPERATIONS: [Operation; 20] = [
    json("chat", "/v1/chat/completions", UsageFormat::Chat),
    json("completions", "/v1/completions", UsageFormat::Completions),
    json("responses", "/v1/responses", UsageFormat::Responses),
    json("messages", "/v1/messages", UsageFormat::Messages),
    json("count_tokens", "/v1/messages/count_tokens", UsageFormat::None),
    json("embeddings", "/v1/embeddings", UsageFormat::Embeddings),
    json("rerank", "/v1/rerank", UsageFormat::Embeddings),
    json("rerank", "/v2/rerank", UsageFormat::Embeddings),
    json("rerank", "/rerank", UsageFormat::Embeddings),
    json("score", "/v1/score", UsageFormat::Embeddings),
    json("score", "/score", UsageFormat::Embeddings),
    json("pooling", "/pooling", UsageFormat::Embeddings),
    json("classify", "/classify", UsageFormat::Embeddings),
    Operation { upstreams: Upstreams::Served, ..json("tokenize", "/tokenize", UsageFormat::None) },
    Operation {
        upstreams: Upstreams::Served,
        ..json("detokenize", "/detokenize", UsageFormat::None)
    },
    form("transcriptions", "/v1/audio/transcriptions"),
    form("translations", "/v1/audio/translations"),
    Operation {
        upstreams: Upstreams::Provider,
        ..json("images", "/v1/images/generations", UsageFormat::Images)
    },
    Operation { body: Body::Empty, ..json("response", "/v1/responses/{id}", UsageFormat::None) },
    Operation {
        body: Body::Empty,
        ..json("cancel_response", "/v1/responses/{id}/cancel", UsageFormat::None)
    },
];

impl Operation {
    /// Whether it is asked for with GET.
    pub fn is_get(&self) -> bool {
        self == RESPONSE
    }
}

const RESPONSE: &Operation = &OPERATIONS[18];
const CANCEL_RESPONSE: &Operation = &OPERATIONS[19];

/// The longest id of a stored response, in bytes.
const RESPONSE_ID_BYTES_MAX: usize = 128;

impl Dialect {
    /// The dialect of a path. Listing models is done in both; Anthropic's clients name their
    /// version.
    pub fn of(path: &str, headers: &HeaderMap) -> Self {
        let under = |prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let lists = under("/v1/models") && headers.contains_key("anthropic-version");
        if under("/v1/messages") || lists { Self::Anthropic } else { Self::OpenAi }
    }
}

/// Finds what a method and a path ask for.
///
/// # Errors
/// [`Rejection::UnknownPath`] or [`Rejection::WrongMethod`].
pub fn request(method: &Method, path: &str, headers: &HeaderMap) -> Result<Request, Rejection> {
    let preflight = *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let (allowed, request) = find(path).ok_or(Rejection::UnknownPath)?;
    if preflight {
        return Ok(Request::Preflight);
    }
    if *method != allowed {
        return Err(Rejection::WrongMethod { allowed });
    }
    Ok(request)
}

fn find(path: &str) -> Option<(Method, Request)> {
    if path == "/v1/models" {
        return Some((Method::GET, Request::ListModels));
    }
    if let Some(id) = path.strip_prefix("/v1/models/") {
        return Some((Method::GET, Request::ShowModel(decode(id)?)));
    }
    if let Some(rest) = path.strip_prefix("/v1/responses/") {
        let (method, operation, id) = match rest.strip_suffix("/cancel") {
            Some(id) => (Method::POST, CANCEL_RESPONSE, id),
            None => (Method::GET, RESPONSE, rest),
        };
        return is_response_id(id)
            .then(|| (method, Request::Stored { operation, id: id.to_owned() }));
    }
    let operation = OPERATIONS.iter().find(|operation| operation.path == path)?;
    (operation.body != Body::Empty).then_some((Method::POST, Request::Ask(operation)))
}

fn is_response_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !id.is_empty() && id.len() <= RESPONSE_ID_BYTES_MAX && id.bytes().all(plain)
}

/// A model's id in a path: SDKs write a `/` in it as it is or as `%2F`. It is only compared with
/// our own ids and goes nowhere, so that decoding it is safe.
fn decode(id: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(id.len());
    let mut rest = id.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok().filter(|id| !id.is_empty())
}

/// Refuses what different parsers read differently: that difference is how one request is
/// smuggled inside another.
///
/// `raw` is the header as it came over HTTP/1, empty over HTTP/2. Pingora drops a
/// `Content-Length` that stands beside a `Transfer-Encoding`, so only `raw` still shows it.
///
/// # Errors
/// [`Rejection::Framing`] naming what is wrong.
pub fn framing(headers: &HeaderMap, raw: &[u8]) -> Result<(), Rejection> {
    for (name, twice) in [
        (header::CONTENT_LENGTH, "more than one Content-Length"),
        (header::CONTENT_TYPE, "more than one Content-Type"),
        (header::HOST, "more than one Host"),
    ] {
        if 1 < headers.get_all(name).iter().count() {
            return Err(Rejection::Framing(twice));
        }
    }
    let length = headers.get(header::CONTENT_LENGTH).map(HeaderValue::as_bytes);
    if length.is_some_and(|it| !it.iter().all(u8::is_ascii_digit)) {
        return Err(Rejection::Framing("a Content-Length that is not a number"));
    }
    let encodings = headers.get_all(header::TRANSFER_ENCODING);
    let mut encodings = encodings.iter();
    if let Some(encoding) = encodings.next() {
        if encodings.next().is_some() || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(Rejection::Framing("a Transfer-Encoding other than chunked"));
        }
        if has_line(raw, b"content-length") {
            return Err(Rejection::Framing("both Content-Length and Transfer-Encoding"));
        }
    }
    // Java's client offers `h2c` with every request in clear text; nobody has to take it up.
    if headers.get_all(header::UPGRADE).iter().any(|it| !it.as_bytes().eq_ignore_ascii_case(b"h2c"))
    {
        return Err(Rejection::Framing("Upgrade: this service speaks no other protocol"));
    }
    let folds = |end: usize| matches!(raw.get(end + 1), Some(b' ' | b'\t'));
    if memchr::memchr_iter(b'\n', raw).any(folds) {
        return Err(Rejection::Framing("a folded header line"));
    }
    Ok(())
}

/// Whether a raw header has a line of this name; names end at a colon, maybe after white space.
fn has_line(raw: &[u8], name: &[u8]) -> bool {
    raw.split(|byte| *byte == b'\n').any(|line| {
        line.split_at_checked(name.len()).is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(name)
                && rest.trim_ascii_start().first().is_some_and(|byte| *byte == b':')
        })
    })
}

#[cfg(test)]
mod tests;
