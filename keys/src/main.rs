//! `llm-keys`: runtime and output streams.

use llm_cli::Streams;
use llm_keys::{
    cli::Cli,
    clock,
    command::{self, CliError},
    system_random,
};
use std::io;
use sysexits::ExitCode;

fn main() -> ExitCode {
    llm_cli::main(run)
}

fn run(cli: Cli) -> Result<(), CliError> {
    let (mut out, mut notes) = (io::stdout().lock(), io::stderr());
    let mut to = Streams { out: &mut out, notes: &mut notes };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command::run(cli, clock::wall(), &mut system_random, &mut to))
}
