//! Which operation, through which entry?
//!
//! [`OPERATIONS`] is the whole of what can be asked of a model. Paths are compared byte for byte
//! and never normalised: what is not in the table, in exactly this spelling, does not exist.

use crate::{response::rejection::Rejection, usage::UsageFormat};
use http::{HeaderMap, HeaderValue, Method, header};

/// One of the two public faces; decided by the listener, never by a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    /// For programs outside the cluster, with API keys.
    External,
    /// For programs inside the cluster, with the tokens they already have.
    Internal,
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Infer(&'static Operation),
    /// Goes to the endpoint that created the response.
    StoredResponse {
        operation: &'static Operation,
        id: String,
    },
    ListModels,
    ShowModel(String),
    Preflight,
}

/// A row of [`OPERATIONS`].
#[derive(Debug, PartialEq, Eq)]
pub struct Operation {
    /// In logs and metrics.
    pub name: &'static str,
    pub method: Method,
    /// Here and at the upstream; `{id}` stands for the id of a stored response.
    pub path: &'static str,
    pub body: BodyFormat,
    /// How the reply reports its usage.
    pub usage_format: UsageFormat,
    pub upstreams: Upstreams,
}

/// Where the request names its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    Json,
    /// `multipart/form-data`.
    Form,
    /// Nowhere: the path names a stored response.
    Empty,
}

/// Which kinds of upstream support an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstreams {
    All,
    Served,
    Provider,
}

pub static OPERATIONS: &[Operation] = &[
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
    json("tokenize", "/tokenize", UsageFormat::None).only(Upstreams::Served),
    json("detokenize", "/detokenize", UsageFormat::None).only(Upstreams::Served),
    form("transcriptions", "/v1/audio/transcriptions"),
    form("translations", "/v1/audio/translations"),
    json("images", "/v1/images/generations", UsageFormat::Images).only(Upstreams::Provider),
    stored(Method::GET, "response", "/v1/responses/{id}"),
    stored(Method::POST, "cancel_response", "/v1/responses/{id}/cancel"),
];

const fn json(name: &'static str, path: &'static str, usage_format: UsageFormat) -> Operation {
    let (method, body, upstreams) = (Method::POST, BodyFormat::Json, Upstreams::All);
    Operation { name, method, path, body, usage_format, upstreams }
}

const fn form(name: &'static str, path: &'static str) -> Operation {
    let (method, body, upstreams) = (Method::POST, BodyFormat::Form, Upstreams::All);
    Operation { name, method, path, body, usage_format: UsageFormat::Audio, upstreams }
}

const fn stored(method: Method, name: &'static str, path: &'static str) -> Operation {
    let (body, usage_format, upstreams) = (BodyFormat::Empty, UsageFormat::None, Upstreams::All);
    Operation { name, method, path, body, usage_format, upstreams }
}

impl Operation {
    const fn only(mut self, upstreams: Upstreams) -> Self {
        self.upstreams = upstreams;
        self
    }

    fn at(&'static self, path: &str) -> Option<Request> {
        if self.body != BodyFormat::Empty {
            return (self.path == path).then_some(Request::Infer(self));
        }
        let (prefix, suffix) = self.path.split_once("{id}")?;
        let id = path.strip_prefix(prefix)?.strip_suffix(suffix)?;
        is_response_id(id).then(|| Request::StoredResponse { operation: self, id: id.to_owned() })
    }
}

/// The longest id of a stored response, in bytes.
const RESPONSE_ID_BYTES_MAX: usize = 128;

/// Finds what a method and a path ask for.
pub fn request(method: &Method, path: &str, headers: &HeaderMap) -> Result<Request, Rejection> {
    let is_preflight = *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut allowed = None;
    for (wanted, request) in at(path) {
        if is_preflight {
            return Ok(Request::Preflight);
        }
        if wanted == method {
            return Ok(request);
        }
        allowed = Some(wanted.clone());
    }
    Err(allowed.map_or(Rejection::UnknownPath, |allowed| Rejection::MethodNotAllowed { allowed }))
}

/// What a path stands for, with each method.
fn at(path: &str) -> impl Iterator<Item = (&'static Method, Request)> {
    let models = match path.strip_prefix("/v1/models") {
        Some("") => Some(Request::ListModels),
        Some(rest) => rest.strip_prefix('/').and_then(decode).map(Request::ShowModel),
        None => None,
    };
    let operations = OPERATIONS.iter().filter_map(move |it| Some((&it.method, it.at(path)?)));
    models.map(|models| (&Method::GET, models)).into_iter().chain(operations)
}

fn is_response_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !id.is_empty() && id.len() <= RESPONSE_ID_BYTES_MAX && id.bytes().all(plain)
}

/// A model's id in a path: SDKs send a `/` in it as it is or as `%2F`. It is only compared with
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

/// Rejects what parsers read differently: such differences make request smuggling possible.
///
/// `raw` is the header as received over HTTP/1, empty over HTTP/2. Pingora drops a
/// `Content-Length` beside a `Transfer-Encoding`, so only `raw` still shows it.
pub fn framing(headers: &HeaderMap, raw: &[u8]) -> Result<(), Rejection> {
    for (name, twice) in [
        (header::CONTENT_LENGTH, "more than one Content-Length"),
        (header::CONTENT_TYPE, "more than one Content-Type"),
        (header::HOST, "more than one Host"),
    ] {
        if 1 < headers.get_all(name).iter().count() {
            return Err(Rejection::InvalidFraming(twice));
        }
    }
    let length = headers.get(header::CONTENT_LENGTH).map(HeaderValue::as_bytes);
    if length.is_some_and(|it| !it.iter().all(u8::is_ascii_digit)) {
        return Err(Rejection::InvalidFraming("a Content-Length that is not a number"));
    }
    let encodings = headers.get_all(header::TRANSFER_ENCODING);
    let mut encodings = encodings.iter();
    if let Some(encoding) = encodings.next() {
        if encodings.next().is_some() || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(Rejection::InvalidFraming("a Transfer-Encoding other than chunked"));
        }
        if has_line(raw, b"content-length") {
            return Err(Rejection::InvalidFraming("both Content-Length and Transfer-Encoding"));
        }
    }
    // Java's client offers `h2c` with every request in clear text; a server may ignore it.
    if headers.get_all(header::UPGRADE).iter().any(|it| !it.as_bytes().eq_ignore_ascii_case(b"h2c"))
    {
        return Err(Rejection::InvalidFraming("Upgrade: this service speaks no other protocol"));
    }
    let folds = |end: usize| matches!(raw.get(end + 1), Some(b' ' | b'\t'));
    if memchr::memchr_iter(b'\n', raw).any(folds) {
        return Err(Rejection::InvalidFraming("a folded header line"));
    }
    Ok(())
}

/// Whether a raw header has a line of this name, maybe with white space before the colon.
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
