//! `llm-proxy`: arguments, runtime, exit code.

use llm_proxy::program::{
    cli::{Cli, Command},
    exit::Exit,
    explain,
    failure::Failure,
    logging, serve, table,
};
use std::{io, process::ExitCode};

/// Gives memory back when streams have closed; see docs/decisions/0008-jemalloc.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    match run(cli.command) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            logging::complain("llm-proxy", &failure);
            failure.exit().into()
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
        Command::Table(args) => runtime.block_on(table::run(args.admin, &mut io::stdout())),
        Command::Explain(args) => {
            let (id, out) = (args.key_id()?, &mut io::stdout());
            Ok(runtime.block_on(explain::explain(args.admin, id, &args.model, out))?)
        }
    }
}
