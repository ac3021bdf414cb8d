//! `llm-operator`: arguments, runtime, exit code.

use clap::Parser;
use llm_contract::Chain;
use llm_operator::app::{
    cli::{Cli, Command, Output},
    command::{self, Failure},
    telemetry,
};
use std::io::{self, IsTerminal as _};
use sysexits::ExitCode;

/// Gives memory back after the first list of a large cluster.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok };
        }
    };
    match run(cli.command) {
        Ok(()) => ExitCode::Ok,
        Err(failure) => {
            telemetry::print_error(&Chain(&failure));
            failure.exit()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match command {
        Command::Run(options) => {
            telemetry::start();
            runtime.block_on(command::run(*options))
        }
        Command::Table { options, output } => {
            let mut out = io::stdout();
            let usually = if out.is_terminal() { Output::Table } else { Output::Json };
            runtime.block_on(command::table(*options, output.unwrap_or(usually), &mut out))
        }
        Command::Rbac(options) => command::rbac(*options, &mut io::stdout()),
    }
}
