//! Logging to standard error: compact on a terminal, JSON otherwise.

use std::io::{self, IsTerminal};
use tracing_subscriber::{EnvFilter, fmt::layer, layer::SubscriberExt, util::SubscriberInitExt};

/// The filter unless `RUST_LOG` is set.
const DEFAULT_FILTER: &str = "info";

pub fn start() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = layer().with_writer(io::stderr);
    if io::stderr().is_terminal() {
        registry.with(layer.compact()).init();
    } else {
        registry.with(layer.json().flatten_event(true)).init();
    }
}
