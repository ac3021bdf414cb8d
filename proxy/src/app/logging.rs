//! Logs on standard error: lines for people on a terminal, JSON otherwise; see
//! docs/decisions/0031-log-writer.md.

mod buffered_stderr;
mod json;

use crate::clock;
use buffered_stderr::BufferedStderr;
use jiff::tz::TimeZone;
use std::{
    fmt,
    io::{self, IsTerminal},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, layer, time::FormatTime},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The filter unless `RUST_LOG` is set. Pingora logs every connection that a client drops; the
/// proxy's own line for the request says as much.
const DEFAULT_FILTER: &str = "info,pingora_core=error,pingora_proxy=error";

/// Writes buffered lines when dropped.
pub struct FlushOnDrop(Option<BufferedStderr>);

/// Starts logging.
pub fn init() -> FlushOnDrop {
    let filter = EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let registry = tracing_subscriber::registry().with(filter);
    if io::stderr().is_terminal() {
        let lines = layer().with_timer(TimeOfDay).with_target(false).compact();
        registry.with(lines.with_writer(io::stderr)).init();
        return FlushOnDrop(None);
    }
    let stderr = BufferedStderr::start();
    registry.with(layer().event_format(json::Json).with_writer(stderr.clone())).init();
    FlushOnDrop(Some(stderr))
}

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        if let Some(stderr) = &self.0 {
            stderr.write_out();
        }
    }
}

/// `14:07:31`: someone who watches a terminal knows the date.
struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        let now = clock::wall().to_zoned(TimeZone::system());
        write!(line, "{}", now.strftime("%H:%M:%S"))
    }
}
