//! An event as one line of JSON, written in one pass.

use crate::clock;
use jiff::Timestamp;
use std::{
    error::Error,
    fmt::{self, Debug, Write},
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Formats events: time, level, message, fields, and the module they come from.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str(&line(event, clock::wall()))
    }
}

fn line(event: &Event<'_>, now: Timestamp) -> String {
    let (level, target) = (event.metadata().level(), event.metadata().target());
    let mut line = String::with_capacity(768);
    // Writing to a string does not fail.
    let _ = write!(line, r#"{{"timestamp":"{now:.3}","level":"{level}""#);
    event.record(&mut Fields(&mut line));
    // Names of modules and fields are plain.
    let _ = writeln!(line, r#","target":"{target}"}}"#);
    line
}

struct Fields<'a>(&'a mut String);

impl Fields<'_> {
    fn name(&mut self, field: &Field) {
        self.0.push_str(",\"");
        self.0.push_str(field.name());
        self.0.push_str("\":");
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        quote(self.0, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field);
        self.0.push_str(if value { "true" } else { "false" });
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.name(field);
        quote(self.0, &llm_contract::Chain(value).to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.name(field);
        quote(self.0, &format!("{value:?}"));
    }
}

/// Writes a JSON string. Control characters are escaped, so that nothing can break a line.
fn quote(line: &mut String, text: &str) {
    line.push('"');
    if text.bytes().all(|byte| 0x20 <= byte && byte != b'"' && byte != b'\\') {
        line.push_str(text);
    } else {
        for character in text.chars() {
            match character {
                '"' => line.push_str("\\\""),
                '\\' => line.push_str("\\\\"),
                '\n' => line.push_str("\\n"),
                control if control < ' ' => {
                    let _ = write!(line, "\\u{:04x}", u32::from(control));
                }
                other => line.push(other),
            }
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_is_read_back_as_it_was(text in any::<String>()) {
            let mut line = String::new();
            quote(&mut line, &text);
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
    }
}
