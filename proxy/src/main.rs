//! `llm-proxy`: allocator, runtime, commands.

use llm_proxy::app::{
    cli::{Cli, Command, KEY_VARIABLE},
    error::CliError,
    explain, logging, serve, table,
};
use std::io;
use sysexits::ExitCode;

/// Gives memory back when streams have closed; see docs/decisions/0008-jemalloc.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    llm_cli::main(run)
}

fn run(cli: Cli) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match cli.command {
        Command::Serve(args) => {
            let _flush_on_drop = logging::init();
            runtime.block_on(serve::run(*args))
        }
        Command::Table(args) => runtime.block_on(table::run(&args, &mut io::stdout())),
        Command::Explain(args) => {
            let out = &mut io::stdout();
            Ok(runtime.block_on(explain::run(&args, KEY_VARIABLE, out))?)
        }
    }
}
