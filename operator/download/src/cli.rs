//! The arguments, and what they and the environment come to.

use crate::{
    Exit, Failure,
    fetch::Source,
    filter::{Filter, InvalidPattern, Pattern},
    hub::{Endpoint, Hub, Token},
    lock::Terms,
    name::{RepoId, Revision},
    retry::Retry,
    run::Job,
    volume::Volume,
    weights::Want,
};
use clap::{Args, Parser, Subcommand};
use std::{ffi::OsString, path::PathBuf, time::Duration};

/// What is meant when no command is named, as in `llm-download acme/tiny --local-dir .`.
const COMMAND_MEANT: &str = "download";
/// What the first argument may be, not to be taken for a repository.
const FIRST_WORDS: [&str; 7] = ["download", "copy", "help", "--help", "-h", "--version", "-V"];

/// The text of `llm-download --help`.
#[derive(Debug, Parser)]
#[command(
    name = "llm-download",
    version,
    about = "Fetches the weights of a model onto a volume once, safely",
    after_help = "Examples:\n  \
        llm-download Qwen/Qwen3-8B --local-dir /model-cache\n  \
        llm-download Qwen/Qwen3-8B --local-dir /model-cache --revision main --exclude '*.bin'\n  \
        llm-download copy /models --local-dir /shared-models\n\n\
        `download` may be left out. Environment: HF_TOKEN, HF_ENDPOINT, HTTPS_PROXY, NO_PROXY, \
        SSL_CERT_FILE, LLM_TERMINATION_LOG.\n\n\
        Exit codes: 0 the weights are there, 64 wrong usage, 65 the hub says no or has what \
        cannot be used, 69 the hub is not available, 70 a defect of ours, 73 the volume cannot \
        be written or has no room, 75 another process took over the volume, 143 stopped by a \
        signal."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch a repository from the hub
    #[command(args_override_self = true)]
    Download(Download),
    /// Copy a folder, such as that of an image
    #[command(args_override_self = true)]
    Copy(Copy),
}

#[derive(Debug, Args)]
struct Download {
    /// The repository, such as Qwen/Qwen3-8B
    repo: RepoId,
    /// A branch, tag or commit; with a commit the hub is not asked when all is there
    #[arg(long, default_value = Revision::DEFAULT)]
    revision: Revision,
    /// Which files to fetch, such as '*.safetensors'; may be repeated [default: all]
    #[arg(long, value_name = "GLOB")]
    include: Vec<Pattern>,
    /// Which files not to fetch; may be repeated
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<Pattern>,
    #[command(flatten)]
    to: To,
}

#[derive(Debug, Args)]
struct Copy {
    /// The folder to copy
    source: PathBuf,
    #[command(flatten)]
    to: To,
}

#[derive(Debug, Args)]
struct To {
    /// Where to put the files
    #[arg(long, value_name = "FOLDER")]
    local_dir: PathBuf,
    /// How many files at a time
    #[arg(long, value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    max_workers: u16,
    /// How often to try again what fails and may pass; begins anew whenever something has come
    #[arg(long, value_name = "TIMES", default_value_t = 8, help_heading = "Patience",
          value_parser = clap::value_parser!(u16).range(..=1000))]
    retries: u16,
    /// The first wait before trying again; each is twice the one before, at most 60 times this
    #[arg(long, value_name = "DURATION", default_value = "1s", help_heading = "Patience",
          value_parser = humantime::parse_duration)]
    retry_wait: Duration,
    /// How long nothing may come before a connection is given up
    #[arg(long, value_name = "DURATION", default_value = "60s", help_heading = "Patience",
          value_parser = humantime::parse_duration)]
    idle_timeout: Duration,
    /// How long nothing may be heard of another writer before we take over
    #[arg(long, value_name = "DURATION", default_value = "60s", help_heading = "Patience",
          value_parser = takeover)]
    takeover_after: Duration,
    /// Do not use flock; for volumes where it fails or hangs
    #[arg(long, help_heading = "Patience")]
    lease_only: bool,
}

/// A holder that has less time than this would be given up when its machine is busy.
const TAKEOVER_AFTER_MIN: Duration = Duration::from_secs(1);

/// Why a text is no time to take over after.
#[derive(Debug, thiserror::Error)]
enum InvalidTakeover {
    #[error("not a duration such as `60s`")]
    Form(#[source] humantime::DurationError),
    #[error("it is at least {} s", TAKEOVER_AFTER_MIN.as_secs())]
    TooShort,
}

fn takeover(text: &str) -> Result<Duration, InvalidTakeover> {
    let after = humantime::parse_duration(text).map_err(InvalidTakeover::Form)?;
    if after < TAKEOVER_AFTER_MIN { Err(InvalidTakeover::TooShort) } else { Ok(after) }
}

impl Cli {
    /// Reads arguments, the program's name first. Prints help, version and what is wrong.
    ///
    /// # Errors
    /// How to exit instead.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Exit> {
        let mut arguments: Vec<_> = arguments.into_iter().collect();
        if arguments.get(1).is_some_and(|first| !FIRST_WORDS.iter().any(|word| first == word)) {
            arguments.insert(1, COMMAND_MEANT.into());
        }
        Self::try_parse_from(arguments).map_err(|error| {
            // Nobody is left to tell if this fails.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Done }
        })
    }

    /// What is to be done, given the environment too.
    ///
    /// # Errors
    /// [`Failure`] for an environment that cannot be used.
    pub fn job(self, environment: impl Fn(&str) -> Option<String>) -> Result<Job, Failure> {
        match self.command {
            Command::Download(download) => download.job(environment),
            Command::Copy(Copy { source, to }) => {
                let want = Want {
                    repository: format!("folder:{}", source.display()),
                    revision: String::new(),
                    include: Vec::new(),
                    exclude: Vec::new(),
                };
                Ok(to.job(want, filter(&[], &[])?, Source::Folder(source)))
            }
        }
    }
}

impl Download {
    fn job(self, environment: impl Fn(&str) -> Option<String>) -> Result<Job, Failure> {
        let Self { repo, revision, include, exclude, to } = self;
        let endpoint = environment("HF_ENDPOINT");
        let endpoint = endpoint.as_deref().unwrap_or(Endpoint::PUBLIC).parse::<Endpoint>();
        let token = environment("HF_TOKEN").map(|text| Token::parse(&text)).transpose();
        let filter = filter(&include, &exclude)?;
        let want = Want {
            repository: repo.to_string(),
            revision: revision.as_str().to_owned(),
            include: sorted(include),
            exclude: sorted(exclude),
        };
        let (endpoint, token) =
            (endpoint.map_err(Failure::Endpoint)?, token.map_err(Failure::Token)?);
        let hub = Hub::new(repo, revision, endpoint, token, to.idle_timeout)?;
        Ok(to.job(want, filter, Source::Hub(hub)))
    }
}

impl To {
    fn job(self, want: Want, filter: Filter, source: Source) -> Job {
        let Self {
            local_dir, max_workers, retries, retry_wait, takeover_after, lease_only, ..
        } = self;
        Job {
            want,
            filter,
            source,
            volume: Volume { root: local_dir },
            workers: usize::from(max_workers),
            retry: Retry { times: usize::from(retries), first: retry_wait },
            terms: Terms { takeover_after, lease_only },
        }
    }
}

fn filter(include: &[Pattern], exclude: &[Pattern]) -> Result<Filter, Failure> {
    Filter::new(include, exclude).map_err(|error| Failure::Patterns(InvalidPattern::Form(error)))
}

fn sorted(patterns: Vec<Pattern>) -> Vec<String> {
    let mut texts: Vec<String> = patterns.into_iter().map(String::from).collect();
    texts.sort();
    texts.dedup();
    texts
}
