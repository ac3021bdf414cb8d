//! Parses the few fields the gateway decides on from a buffered `multipart/form-data` body.
//!
//! Servers differ in how they read forms that are not quite right, and a form in which we see one
//! `model` and the upstream another would bypass access control. So this parses exactly what
//! clients send (`httpx` under the Python SDK, `undici` under the Node SDK, browsers, curl, OkHttp)
//! and rejects what two parsers could understand differently: a charset other than UTF-8 (Starlette
//! decodes names with it), two dispositions (it takes the last), RFC 2231 `name*=`, folded headers,
//! text before the first boundary or after the last, a boundary inside a part. Grammar: RFC 7578,
//! RFC 2046.

use std::ops::Range;

use memchr::memmem;

pub const PARTS_MAX: usize = 64;
pub const HEADER_BYTES_MAX: usize = 8 * 1024;
/// After RFC 2046, 5.1.1.
pub const BOUNDARY_BYTES_MAX: usize = 70;

pub const MODEL: &str = "model";
pub const STREAM: &str = "stream";
/// `json`, `verbose_json`, `text`, `srt` or `vtt`.
pub const RESPONSE_FORMAT: &str = "response_format";
/// vLLM's flat spelling of `stream_options.include_usage`, for forms.
pub const INCLUDE_USAGE: &str = "stream_include_usage";
/// vLLM's flat spelling of `stream_options.continuous_usage_stats`, for forms.
pub const CONTINUOUS_USAGE: &str = "stream_continuous_usage_stats";
const READ: [&str; 5] = [MODEL, STREAM, RESPONSE_FORMAT, INCLUDE_USAGE, CONTINUOUS_USAGE];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<T> {
    pub value: T,
    /// The value's place in the body.
    pub span: Range<usize>,
}

/// The fields of a form that the gateway decides on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Without the leading dashes.
    pub boundary: String,
    pub model: Field<String>,
    pub stream: bool,
    pub response_format: Option<String>,
    pub include_usage: Option<Field<bool>>,
    pub continuous_usage: Option<Field<bool>>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidForm {
    #[error("the content type must be multipart/form-data with one boundary")]
    ContentType,
    #[error("the boundary must be 1 to {BOUNDARY_BYTES_MAX} of the characters RFC 2046 allows")]
    Boundary,
    #[error("the charset must be UTF-8")]
    Charset,
    #[error("the form does not end with its closing boundary")]
    Truncated,
    #[error("unexpected boundary at byte {offset}, where no part begins or ends")]
    StrayBoundary { offset: usize },
    #[error("unexpected text after the closing boundary")]
    TrailingBytes,
    #[error("the form has more than {PARTS_MAX} parts")]
    TooManyParts,
    #[error("the headers of part {part} are longer than {HEADER_BYTES_MAX} bytes")]
    HeadersTooLong { part: usize },
    #[error("the headers of part {part} are not well-formed")]
    Headers { part: usize },
    #[error("part {part} needs one `Content-Disposition: form-data` with one plain `name`")]
    Disposition { part: usize },
    #[error("`{field}` is missing from the form")]
    Missing { field: &'static str },
    #[error("`{field}` appears more than once in the form")]
    Duplicate { field: &'static str },
    #[error("`{field}` must be a plain field, not a file")]
    File { field: &'static str },
    /// It has a content type or a transfer encoding of its own, or is not UTF-8.
    #[error("`{field}` must be plain text in UTF-8")]
    NotText { field: &'static str },
    #[error("`{field}` must be `true` or `false`")]
    NotBoolean { field: &'static str },
}

impl InvalidForm {
    /// The field at fault, for the `param` of an error body.
    pub fn param(&self) -> Option<&'static str> {
        let (Self::Missing { field }
        | Self::Duplicate { field }
        | Self::File { field }
        | Self::NotText { field }
        | Self::NotBoolean { field }) = self
        else {
            return None;
        };
        Some(field)
    }
}

/// Parses a whole form; `content_type` is the request's header.
pub fn form(body: &[u8], content_type: &str) -> Result<Form, InvalidForm> {
    let boundary = boundary(content_type)?;
    let delimiter = format!("--{boundary}");
    let mut fields: [Option<Field<String>>; READ.len()] = [const { None }; READ.len()];
    let mut parts = 0;
    let mut part_start = None;
    for offset in memmem::find_iter(body, &delimiter) {
        let stray = InvalidForm::StrayBoundary { offset };
        if let Some(start) = part_start {
            // The line break before it belongs to the boundary.
            let part = body.get(start..offset).and_then(|part| part.strip_suffix(b"\r\n"));
            parts += 1;
            if parts > PARTS_MAX {
                return Err(InvalidForm::TooManyParts);
            }
            parse_part(part.ok_or(stray.clone())?, start, parts, &mut fields)?;
        } else if offset != 0 {
            return Err(stray);
        }
        let behind = body.get(offset + delimiter.len()..).unwrap_or_default();
        match behind.split_at_checked(2) {
            Some((b"\r\n", _)) => part_start = Some(offset + delimiter.len() + 2),
            Some((b"--", b"" | b"\r\n")) => return checked(boundary, fields),
            Some((b"--", _)) => return Err(InvalidForm::TrailingBytes),
            Some(_) => return Err(stray),
            None => return Err(InvalidForm::Truncated),
        }
    }
    Err(InvalidForm::Truncated)
}

fn boundary(content_type: &str) -> Result<&str, InvalidForm> {
    let (media_type, parameters) = header_value(content_type).ok_or(InvalidForm::ContentType)?;
    if !media_type.eq_ignore_ascii_case("multipart/form-data") {
        return Err(InvalidForm::ContentType);
    }
    if !is_utf8(&parameters) {
        return Err(InvalidForm::Charset);
    }
    let boundary = only("boundary", &parameters).ok_or(InvalidForm::ContentType)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
    let fits = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) && !boundary.ends_with(' ');
    if !(fits && boundary.bytes().all(allowed)) {
        return Err(InvalidForm::Boundary);
    }
    Ok(boundary)
}

/// Stores a part's value if it is a field we read. It is part `number`, at `start` in the body.
fn parse_part(
    part: &[u8],
    start: usize,
    number: usize,
    fields: &mut [Option<Field<String>>; READ.len()],
) -> Result<(), InvalidForm> {
    const BREAK: &[u8] = b"\r\n\r\n";
    let headers_max = part.len().min(HEADER_BYTES_MAX + BREAK.len());
    let head = part.get(..headers_max).and_then(|head| memmem::find(head, BREAK));
    let Some((head, value)) = head.and_then(|end| part.split_at_checked(end)) else {
        return Err(if part.len() > HEADER_BYTES_MAX {
            InvalidForm::HeadersTooLong { part: number }
        } else {
            InvalidForm::Headers { part: number }
        });
    };
    let headers = Headers::parse(head).ok_or(InvalidForm::Headers { part: number })?;
    let unclear = InvalidForm::Disposition { part: number };
    let (name, is_file) = headers.disposition().ok_or(unclear)?;
    let slots = READ.into_iter().zip(fields);
    let Some((field, slot)) = slots.into_iter().find(|(field, _)| *field == name) else {
        return Ok(());
    };
    if slot.is_some() {
        return Err(InvalidForm::Duplicate { field });
    }
    if is_file {
        return Err(InvalidForm::File { field });
    }
    let value = value.strip_prefix(BREAK).unwrap_or_default();
    let text = str::from_utf8(value).ok().filter(|_| headers.is_plain_text());
    let value = text.ok_or(InvalidForm::NotText { field })?.to_owned();
    let value_start = start + head.len() + BREAK.len();
    *slot = Some(Field { span: value_start..value_start + value.len(), value });
    Ok(())
}

fn checked(
    boundary: &str,
    fields: [Option<Field<String>>; READ.len()],
) -> Result<Form, InvalidForm> {
    let [model, stream, response_format, include_usage, continuous_usage] = fields;
    Ok(Form {
        boundary: boundary.to_owned(),
        model: model.ok_or(InvalidForm::Missing { field: MODEL })?,
        stream: boolean(STREAM, stream)?.is_some_and(|field| field.value),
        response_format: response_format.map(|field| field.value),
        include_usage: boolean(INCLUDE_USAGE, include_usage)?,
        continuous_usage: boolean(CONTINUOUS_USAGE, continuous_usage)?,
    })
}

/// Python and JavaScript differ in the case of a boolean; servers differ in which other words they
/// accept.
fn boolean(
    field: &'static str,
    sent: Option<Field<String>>,
) -> Result<Option<Field<bool>>, InvalidForm> {
    let Some(Field { value, span }) = sent else { return Ok(None) };
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(Some(Field { value: true, span })),
        "false" => Ok(Some(Field { value: false, span })),
        _ => Err(InvalidForm::NotBoolean { field }),
    }
}

#[derive(Default)]
struct Headers<'a> {
    disposition: Vec<&'a str>,
    content_type: Vec<&'a str>,
    transfer_encoding: Vec<&'a str>,
}

impl<'a> Headers<'a> {
    /// `None` unless every line is a name, a colon and a value, so a folded line is none.
    fn parse(head: &'a [u8]) -> Option<Self> {
        let mut headers = Self::default();
        for line in str::from_utf8(head).ok()?.split("\r\n") {
            let (name, value) = line.split_once(':')?;
            let well_formed = is_token(name) && !value.contains(char::is_control);
            let value = well_formed.then_some(value.trim_matches(' '))?;
            match name.to_ascii_lowercase().as_str() {
                "content-disposition" => headers.disposition.push(value),
                "content-type" => headers.content_type.push(value),
                "content-transfer-encoding" => headers.transfer_encoding.push(value),
                _ => {}
            }
        }
        Some(headers)
    }

    /// The part's name, and whether it is a file. `None` if either is ambiguous: field names have a
    /// small alphabet, so that no quoting, encoding or trimming changes one.
    fn disposition(&self) -> Option<(&'a str, bool)> {
        let [disposition] = *self.disposition.as_slice() else { return None };
        let (kind, parameters) = header_value(disposition)?;
        let name = only("name", &parameters)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.[]".contains(&b);
        let clear = kind.eq_ignore_ascii_case("form-data") && name.bytes().all(plain);
        let is_file = parameters.iter().any(|(name, _)| names(name, "filename"));
        clear.then_some((name, is_file))
    }

    fn is_plain_text(&self) -> bool {
        let typed = match *self.content_type.as_slice() {
            [] => true,
            [value] => header_value(value).is_some_and(|(media_type, parameters)| {
                media_type.eq_ignore_ascii_case("text/plain") && is_utf8(&parameters)
            }),
            _ => false,
        };
        let as_is = ["7bit", "8bit", "binary"];
        let unencoded = |value: &&str| as_is.iter().any(|name| value.eq_ignore_ascii_case(name));
        typed && self.transfer_encoding.iter().all(unencoded)
    }
}

/// Splits `value; name=token; name="quoted"`. `None` where parsers differ in where a value ends: a
/// backslash before a quote, a quote inside a token, text after a quote.
fn header_value(header: &str) -> Option<(&str, Vec<(&str, &str)>)> {
    let (value, mut rest) = header.split_once(';').unwrap_or((header, ""));
    let mut parameters = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ';']);
        if rest.is_empty() {
            return Some((value.trim_matches(' '), parameters));
        }
        let (name, written) = rest.split_once('=')?;
        let (value, behind) = match written.strip_prefix('"') {
            Some(quoted) => {
                let (value, behind) = quoted.split_once('"')?;
                let behind = behind.trim_start_matches(' ');
                let ends = behind.is_empty() || behind.starts_with(';');
                (ends && !value.ends_with('\\')).then_some((value, behind))?
            }
            None => {
                let (value, behind) = written.split_once(';').unwrap_or((written, ""));
                let value = value.trim_end_matches(' ');
                let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
                value.bytes().all(plain).then_some((value, behind))?
            }
        };
        if !is_token(name) {
            return None;
        }
        parameters.push((name, value));
        rest = behind;
    }
}

/// The value of the parameter `name`, if there is exactly one and it is not in RFC 2231 form.
fn only<'a>(name: &str, parameters: &[(&str, &'a str)]) -> Option<&'a str> {
    let mut named = parameters.iter().filter(|(other, _)| names(other, name));
    match (named.next(), named.next()) {
        (Some((written, value)), None) if written.len() == name.len() => Some(value),
        _ => None,
    }
}

/// Whether a parameter is `name`, or its RFC 2231 forms `name*`, `name*0`, `name*0*`.
fn names(parameter: &str, name: &str) -> bool {
    parameter.split('*').next().is_some_and(|base| base.eq_ignore_ascii_case(name))
}

/// Whether the charset is absent, UTF-8 or a subset of it.
fn is_utf8(parameters: &[(&str, &str)]) -> bool {
    let utf8 = |value: &str| ["utf-8", "us-ascii"].iter().any(|c| value.eq_ignore_ascii_case(c));
    parameters.iter().filter(|(name, _)| names(name, "charset")).all(|(_, value)| utf8(value))
}

/// RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(token)
}

#[cfg(test)]
mod tests;
