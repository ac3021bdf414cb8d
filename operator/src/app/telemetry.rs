//! Logs: lines for people on a terminal, JSON otherwise; on standard error.

use std::io::{self, IsTerminal};
use tracing_subscriber::{EnvFilter, fmt::layer, layer::SubscriberExt, util::SubscriberInitExt};

/// What is logged unless `RUST_LOG` says otherwise.
const DEFAULT: &str = "info";

/// Begins to log.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = layer().with_writer(io::stderr);
    if io::stderr().is_terminal() {
        registry.with(layer.compact()).init();
    } else {
        registry.with(layer.json().flatten_event(true)).init();
    }
}
