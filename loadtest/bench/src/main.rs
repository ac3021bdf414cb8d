//! Measures the gateway against bare Pingora and nginx; see `loadtest/README.md`.

mod bare;
mod client;
mod clock;
mod command;
mod count;
mod error;
mod load;
mod process;
mod prompt;
mod row;
mod run;
mod stats;
mod target;
mod upstream;
mod wire;

use anyhow::Context;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve as the mock upstream
    Upstream(upstream::Args),
    /// Serve as bare Pingora, a pass-through without anything of ours
    Pingora(bare::Args),
    /// Measure throughput, latency, streams, memory and start in one interleaved run
    Run(run::Args),
    /// Count instructions and system calls per request, and compare with the limits
    Count(count::Args),
}

fn main() -> anyhow::Result<()> {
    let command = Cli::parse().command;
    if let Command::Pingora(args) = &command {
        // Pingora brings its own runtimes.
        bare::serve(args);
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting the runtime")?.block_on(async {
        match command {
            Command::Upstream(args) => upstream::serve(args).await.map(|_| ())?,
            Command::Run(args) => run::run(args).await?,
            Command::Count(args) => count::count(args).await?,
            Command::Pingora(_) => {}
        }
        Ok(())
    })
}
