//! Arguments and environment.

use crate::{
    error::{DownloadError, ExitStatus},
    fetch::WeightsSource,
    filter::{Filter, Pattern},
    hub::{Hub, HubEndpoint, HubToken, RetryPolicy},
    lock::LockConfig,
    manifest::WeightsRequest,
    name::{RepoId, Revision},
    progress_reporter::ProgressReporter,
    run::Downloader,
    volume::Volume,
};
use clap::{Args, Parser, Subcommand};
use std::{ffi::OsString, path::PathBuf, time::Duration};
use tokio_util::sync::CancellationToken;

/// The command that may be left out, as in `llm-download acme/tiny --local-dir .`.
const DEFAULT_COMMAND: &str = "download";
/// First arguments that are not a repository.
const COMMANDS: [&str; 7] = ["download", "copy", "help", "--help", "-h", "--version", "-V"];
/// With less, a holder on a busy machine would lose the lock.
const TAKEOVER_AFTER_MIN: Duration = Duration::from_secs(1);

#[derive(Debug, Parser)]
#[command(
    name = "llm-download",
    version,
    about = "Downloads the weights of a model onto a volume once, safely",
    after_help = "Examples:\n  \
        llm-download Qwen/Qwen3-8B --local-dir /model-cache\n  \
        llm-download Qwen/Qwen3-8B --local-dir /model-cache --revision main --exclude '*.bin'\n  \
        llm-download copy /models --local-dir /shared-models\n\n\
        `download` may be omitted. Environment: HF_TOKEN, HF_ENDPOINT, HTTPS_PROXY, NO_PROXY, \
        SSL_CERT_FILE, LLM_TERMINATION_LOG.\n\n\
        Exit codes: 0 the weights are complete, 64 wrong usage, 65 the hub refuses or its files \
        cannot be used, 69 the hub is not available, 70 internal error, 73 the volume cannot be \
        written or is too small, 75 another process took over the volume, 143 stopped by a \
        signal."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Download a repository from the hub
    #[command(args_override_self = true)]
    Download {
        /// The repository, such as Qwen/Qwen3-8B
        repo: RepoId,
        /// A branch, tag or commit; with a commit the hub is not asked if all files exist
        #[arg(long, default_value = Revision::DEFAULT)]
        revision: Revision,
        /// Files to download, such as '*.safetensors'; may be repeated [default: all]
        #[arg(long, value_name = "GLOB")]
        include: Vec<Pattern>,
        /// Files not to download; may be repeated
        #[arg(long, value_name = "GLOB")]
        exclude: Vec<Pattern>,
        #[command(flatten)]
        options: Options,
    },
    /// Copy a folder, such as that of an image
    #[command(args_override_self = true)]
    Copy {
        /// The folder to copy
        source: PathBuf,
        #[command(flatten)]
        options: Options,
    },
}

#[derive(Debug, Args)]
struct Options {
    /// The folder to write to
    #[arg(long, value_name = "FOLDER")]
    local_dir: PathBuf,
    /// Files to transfer at a time
    #[arg(long, value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    max_workers: u16,
    #[command(flatten, next_help_heading = "Retries and timeouts")]
    timeouts: Timeouts,
}

#[derive(Debug, Args)]
struct Timeouts {
    /// Retries of a failed request; the count starts over when data has arrived
    #[arg(long, value_name = "TIMES", default_value_t = 8,
          value_parser = clap::value_parser!(u16).range(..=1000))]
    retries: u16,
    /// Wait before the first retry; doubles with each retry, up to 60 times this
    #[arg(long, value_name = "DURATION", default_value = "1s",
          value_parser = humantime::parse_duration)]
    retry_wait: Duration,
    /// Close a connection that sends no data for this long
    #[arg(long, value_name = "DURATION", default_value = "60s",
          value_parser = humantime::parse_duration)]
    idle_timeout: Duration,
    /// Take over from another process that shows no sign of life for this long, at least 1s
    #[arg(long, value_name = "DURATION", default_value = "60s",
          value_parser = parse_takeover)]
    takeover_after: Duration,
    /// Do not use file locks, for volumes on which they fail or hang
    #[arg(long)]
    lease_only: bool,
}

fn parse_takeover(text: &str) -> Result<Duration, humantime::DurationError> {
    Ok(humantime::parse_duration(text)?.max(TAKEOVER_AFTER_MIN))
}

impl Cli {
    /// Parses arguments, the program's name first. Prints help, version and errors, and returns
    /// the exit status for them.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, ExitStatus> {
        let mut arguments: Vec<_> = arguments.into_iter().collect();
        if arguments.get(1).is_some_and(|first| !COMMANDS.iter().any(|command| first == command)) {
            arguments.insert(1, DEFAULT_COMMAND.into());
        }
        Self::try_parse_from(arguments).map_err(|error| {
            // A closed terminal is no reason to fail otherwise.
            let _ = error.print();
            if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Success }
        })
    }

    pub fn downloader(
        self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Downloader, DownloadError> {
        match self.command {
            Command::Download { repo, revision, include, exclude, options } => {
                let endpoint = environment("HF_ENDPOINT");
                let endpoint = endpoint.as_deref().unwrap_or(HubEndpoint::PUBLIC).parse();
                let endpoint = endpoint.map_err(DownloadError::Endpoint)?;
                let token = environment("HF_TOKEN").map(|text| HubToken::parse(&text)).transpose();
                let token = token.map_err(DownloadError::Token)?;
                let filter = Filter::new(&include, &exclude).map_err(DownloadError::Patterns)?;
                let request = WeightsRequest {
                    repository: repo.to_string(),
                    revision: revision.as_str().to_owned(),
                    include: sorted(include),
                    exclude: sorted(exclude),
                };
                let idle_timeout = options.timeouts.idle_timeout;
                let hub = Hub::new(repo, revision, endpoint, token, idle_timeout)?;
                Ok(options.downloader(request, filter, WeightsSource::Hub(hub)))
            }
            Command::Copy { source, options } => {
                let repository = format!("folder:{}", source.display());
                let request = WeightsRequest { repository, ..WeightsRequest::default() };
                Ok(options.downloader(request, Filter::default(), WeightsSource::Folder(source)))
            }
        }
    }
}

impl Options {
    fn downloader(
        self,
        request: WeightsRequest,
        filter: Filter,
        source: WeightsSource,
    ) -> Downloader {
        let Timeouts { retries, retry_wait, takeover_after, lease_only, .. } = self.timeouts;
        Downloader {
            request,
            filter,
            source,
            volume: Volume { root: self.local_dir },
            workers: usize::from(self.max_workers),
            retry: RetryPolicy { retries: usize::from(retries), first_wait: retry_wait },
            lock: LockConfig { takeover_after, lease_only },
            progress: ProgressReporter::default(),
            shutdown: CancellationToken::new(),
        }
    }
}

fn sorted(patterns: Vec<Pattern>) -> Vec<String> {
    let mut texts: Vec<String> = patterns.into_iter().map(String::from).collect();
    texts.sort();
    texts.dedup();
    texts
}
