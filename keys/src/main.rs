//! `llm-keys`: arguments, runtime, exit code.

use llm_contract::Chain;
use llm_keys::{
    cli::Cli,
    clock,
    command::{self, Failure, Output},
    system_random,
};
use std::io::{self, Write};
use sysexits::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    match run(cli) {
        Ok(()) => ExitCode::Ok,
        Err(failure) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(io::stderr(), "llm-keys: {}", Chain(&failure));
            failure.exit()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let (mut out, mut notes) = (io::stdout().lock(), io::stderr());
    let mut to = Output { out: &mut out, notes: &mut notes };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command::run(cli, clock::wall(), &mut system_random, &mut to))
}
