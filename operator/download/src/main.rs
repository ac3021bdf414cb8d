//! `llm-download`: arguments, runtime, exit code.

use llm_download::{Exit, Failure, cli::Cli, report, run};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// How many threads talk to the network, whatever the node has. Files are written by others.
const WORKER_THREADS: usize = 4;
/// Where Kubernetes looks for the reason.
const TERMINATION_LOG: &str = "/dev/termination-log";

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    match start(cli) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            let log = environment("LLM_TERMINATION_LOG").map(PathBuf::from);
            report(&failure, log.as_deref().unwrap_or(Path::new(TERMINATION_LOG)));
            failure.exit().into()
        }
    }
}

fn start(cli: Cli) -> Result<(), Failure> {
    let job = cli.job(environment)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()
        .map_err(Failure::Start)?;
    let done = runtime.block_on(run(job));
    // A thread that hangs on a volume is not waited for.
    runtime.shutdown_background();
    done
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
