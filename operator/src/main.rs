//! `llm-operator`: allocator, runtime, commands.

use llm_operator::app::{
    cli::{Cli, Command},
    command::{self, CliError},
    telemetry,
};
use std::io;
use sysexits::ExitCode;

/// Gives memory back after the first list of a large cluster.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    llm_cli::main(run)
}

fn run(cli: Cli) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match cli.command {
        Command::Run(options) => {
            telemetry::start();
            runtime.block_on(command::run(*options))
        }
        Command::Table { options, output } => {
            runtime.block_on(command::table(*options, output.format(), &mut io::stdout()))
        }
        Command::Rbac(options) => command::rbac(*options, &mut io::stdout()),
    }
}
