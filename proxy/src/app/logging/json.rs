//! Events as lines of JSON, formatted in one pass.

use crate::clock;
use jiff::Timestamp;
use serde::Serialize;
use std::{
    error::Error,
    fmt::{self, Debug},
    io::Write as _,
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Time, level, message, fields, module.
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
        let line = line(event, clock::wall());
        writer.write_str(str::from_utf8(&line).map_err(|_never| fmt::Error)?)
    }
}

fn line(event: &Event<'_>, now: Timestamp) -> Vec<u8> {
    let (level, target) = (event.metadata().level(), event.metadata().target());
    let mut line = Vec::with_capacity(768);
    // Writing to memory does not fail. Names of modules and fields need no escaping.
    let _ = write!(line, r#"{{"timestamp":"{now:.3}","level":"{level}""#);
    event.record(&mut Fields(&mut line));
    let _ = writeln!(line, r#","target":"{target}"}}"#);
    line
}

struct Fields<'a>(&'a mut Vec<u8>);

impl Fields<'_> {
    fn record(&mut self, field: &Field, value: impl Serialize) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(field.name().as_bytes());
        self.0.extend_from_slice(b"\":");
        let _ = serde_json::to_writer(&mut *self.0, &value);
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record(field, llm_contract::Chain(value).to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    struct Lines(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let line = String::from_utf8(line(event, Timestamp::UNIX_EPOCH)).unwrap();
            self.0.lock().unwrap().push(line);
        }
    }

    proptest! {
        #[test]
        fn every_text_is_read_back_as_it_was(text in any::<String>()) {
            let lines = Arc::default();
            let subscriber = tracing_subscriber::registry().with(Lines(Arc::clone(&lines)));
            tracing::subscriber::with_default(subscriber, || tracing::info!(text, "event"));
            let line = lines.lock().unwrap().remove(0);
            prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&event["text"], &text);
            prop_assert_eq!(&event["message"], "event");
        }
    }
}
