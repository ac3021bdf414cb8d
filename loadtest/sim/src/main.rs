//! The simulated vLLM as a program.

use std::io::Write as _;

use anyhow::Context as _;
use clap::Parser as _;
use llm_sim::Sim;
use tokio::signal::unix::{SignalKind, signal};

mod arguments;

use arguments::Arguments;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Arguments::parse().into_config()?;
    let bind = config.bind;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let sim = Sim::start(config).await.with_context(|| format!("listening on {bind}"))?;
    writeln!(std::io::stdout(), "{}", sim.url()).context("printing the URL")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
