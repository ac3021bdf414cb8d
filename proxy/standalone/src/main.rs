//! `llm-gateway`: arguments, runtime, exit code.

use llm_gateway::{
    cli::{Cli, Command},
    command::{self, Failure, keys::Output},
    demo, logging, serve,
};
use llm_proxy::clock;
use std::io;
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
            failure.complain();
            failure.exit()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let environment = &|name: &str| std::env::var(name).ok();
    let (mut out, mut notes) = (io::stdout().lock(), io::stderr());
    let mut to = Output { out: &mut out, notes: &mut notes };
    match command {
        Command::Check(args) => command::check::run(&args, environment, &mut out),
        Command::ConfigSchema => command::config_schema::run(&mut out),
        Command::Usage(args) => command::usage::run(args, clock::wall(), &mut to),
        Command::Keys(args) => {
            command::keys::run(args, clock::wall(), &mut llm_keys::system_random, &mut to)
        }
        Command::Explain(args) => block_on(command::explain::run(&args, &mut out)),
        Command::Serve(args) => {
            drop(out);
            let _logging = logging::start();
            block_on(serve::run(args))
        }
        Command::Demo(args) => {
            drop(out);
            let _logging = logging::start();
            block_on(demo::run(&args))
        }
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
