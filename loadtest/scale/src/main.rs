//! Measures an installation with many models and keys. Times swing with the machine; what repeats
//! are the bytes, and that a change costs the same at each size.

mod measure;
mod report;

use anyhow::Context as _;
use clap::Parser;
use measure::Scale;
use std::time::Duration;

/// Measures an installation with many models and keys on a real API server.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Models; the cost of a change is also measured at a fiftieth and a fifth of them
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(100..=20_000))]
    models: u32,
    /// Keys
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2000..=1_000_000))]
    keys: u32,
    /// Proxies
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    proxies: u8,
    /// Timed changes
    #[arg(long, default_value_t = 200)]
    changes: u32,
    /// Keys revoked under load, and timed
    #[arg(long, default_value_t = 1000)]
    revocations: u32,
    /// Seconds of load for each kind of change
    #[arg(long, default_value_t = 15)]
    load_seconds: u64,
    /// Minutes until the measurement is abandoned
    #[arg(long, default_value_t = 25)]
    minutes_max: u64,
}

fn main() -> anyhow::Result<()> {
    let Arguments { models, keys, proxies, changes, revocations, load_seconds, minutes_max } =
        Arguments::parse();
    let scale = Scale {
        models,
        keys,
        proxies: proxies.into(),
        changes,
        revocations: revocations.min(keys / 2),
        load: Duration::from_secs(load_seconds),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting the runtime")?.block_on(async {
        let limit = Duration::from_secs(minutes_max * 60);
        let measured = tokio::time::timeout(limit, measure::measure(&scale)).await;
        measured.with_context(|| format!("abandoned after {minutes_max} minutes"))?
    })
}
