//! `llm-download`: arguments, runtime, exit code.

use llm_download::{DownloadError, ExitStatus, cli::Cli, report, run};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Threads for the network, however many cores the node has. Files have threads of their own.
const WORKER_THREADS: usize = 4;
const TERMINATION_LOG: &str = "/dev/termination-log";

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(status) => return status.into(),
    };
    match start(cli) {
        Ok(()) => ExitStatus::Success.into(),
        Err(error) => {
            let log = environment("LLM_TERMINATION_LOG").map(PathBuf::from);
            report(&error, log.as_deref().unwrap_or(Path::new(TERMINATION_LOG)));
            error.exit_status().into()
        }
    }
}

fn start(cli: Cli) -> Result<(), DownloadError> {
    let downloader = cli.downloader(environment)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()
        .map_err(DownloadError::Start)?;
    let done = runtime.block_on(run(downloader));
    // Does not wait for a thread that hangs on a volume.
    runtime.shutdown_background();
    done
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
