//! `llm-gateway`: allocator, runtime, commands.

use llm_cli::Streams;
use llm_gateway::{
    cli::{Cli, Command, KEY_VARIABLE},
    command, demo,
    error::CliError,
    logging, serve,
};
use llm_proxy::{app::explain, clock};
use std::io;
use sysexits::ExitCode;

/// Gives memory back when streams have closed; see docs/decisions/0008-jemalloc.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    llm_cli::main(run)
}

fn run(cli: Cli) -> Result<(), CliError> {
    let environment = &|name: &str| std::env::var(name).ok();
    let (mut out, mut notes) = (io::stdout(), io::stderr());
    let mut to = Streams { out: &mut out, notes: &mut notes };
    match cli.command {
        Command::Check(args) => command::check::run(&args, environment, &mut out),
        Command::ConfigSchema => command::config_schema::run(&mut out),
        Command::Usage(args) => command::usage::run(args, clock::wall(), &mut to),
        Command::Keys(args) => {
            command::keys::run(args, clock::wall(), &mut llm_keys::system_random, &mut to)
        }
        Command::Explain(args) => {
            block_on(async { Ok(explain::run(&args, KEY_VARIABLE, &mut out).await?) })
        }
        Command::Serve(args) => {
            let _flush_on_drop = logging::init();
            block_on(serve::run(args))
        }
        Command::Demo(args) => {
            let _flush_on_drop = logging::init();
            block_on(demo::run(&args))
        }
    }
}

fn block_on(work: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
