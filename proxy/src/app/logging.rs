//! Logs: lines for people on a terminal, JSON otherwise; on standard error, so that what was
//! asked for stands alone on standard output.

mod gathered;
mod line;

use crate::clock;
use gathered::Gathered;
use jiff::tz::TimeZone;
use llm_contract::Chain;
use std::{
    error::Error,
    fmt,
    io::{self, IsTerminal, Write},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, layer, time::FormatTime},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// What is logged unless `RUST_LOG` says otherwise. Pingora tells of every connection that a
/// client drops; the proxy's own line says as much.
const DEFAULT: &str = "info,pingora_core=error,pingora_proxy=error";
/// Writes what still waits when it is dropped.
pub struct Logging(Option<Gathered>);

/// Begins to log, until the answer is dropped.
pub fn start() -> Logging {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let registry = tracing_subscriber::registry().with(filter);
    if io::stderr().is_terminal() {
        let lines = layer().with_timer(TimeOfDay).with_target(false).compact();
        registry.with(lines.with_writer(io::stderr)).init();
        return Logging(None);
    }
    let gathered = Gathered::start();
    registry.with(layer().event_format(line::Json).with_writer(gathered.clone())).init();
    Logging(Some(gathered))
}

impl Drop for Logging {
    fn drop(&mut self) {
        if let Some(gathered) = &self.0 {
            gathered.write_out();
        }
    }
}

/// `14:07:31`: who looks on knows the day.
struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        let now = clock::wall().to_zoned(TimeZone::system());
        write!(line, "{}", now.strftime("%H:%M:%S"))
    }
}

/// Tells why a program failed.
pub fn complain(program: &str, error: &dyn Error) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr(), "{program}: {}", Chain(error));
}
