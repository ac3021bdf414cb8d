//! `llm-keys`: arguments, runtime, exit code.

use llm_contract::Chain;
use llm_keys::{
    cli::{Cli, Exit},
    clock,
    command::{self, Failure, Output},
    system_random,
};
use std::{
    io::{self, Write},
    process::ExitCode,
};

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    match run(cli) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(io::stderr(), "llm-keys: {}", Chain(&failure));
            failure.exit().into()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let (mut out, mut notes) = (io::stdout().lock(), io::stderr());
    let mut to = Output { out: &mut out, notes: &mut notes };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command::run(cli, clock::wall(), &mut system_random, &mut to))
}
