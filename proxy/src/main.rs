//! `llm-proxy`: arguments, runtime, exit code.

use llm_proxy::app::{
    cli::{Cli, Command, Output},
    explain,
    failure::Failure,
    logging, serve, table,
};
use std::io::{self, IsTerminal as _};
use sysexits::ExitCode;

/// Gives memory back when streams have closed; see docs/decisions/0008-jemalloc.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    match run(cli.command) {
        Ok(()) => ExitCode::Ok,
        Err(failure) => {
            logging::complain("llm-proxy", &failure);
            failure.exit()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match command {
        Command::Serve(args) => {
            let _logging = logging::start();
            runtime.block_on(serve::run(*args))
        }
        Command::Table(args) => {
            let mut out = io::stdout();
            let usually = if out.is_terminal() { Output::Table } else { Output::Json };
            runtime.block_on(table::run(args, usually, &mut out))
        }
        Command::Explain(args) => {
            let (id, out) = (args.key_id()?, &mut io::stdout());
            Ok(runtime.block_on(explain::explain(&args.admin, id, &args.model, out))?)
        }
    }
}
