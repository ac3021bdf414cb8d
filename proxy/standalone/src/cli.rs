//! The commands and their arguments.

use crate::upstream::Upstream;
use clap::{
    Args, Parser, Subcommand, ValueEnum,
    error::{ContextKind, ContextValue},
};
use jiff::{SignedDuration, Timestamp};
use llm_contract::{Group, KeyId, ModelPattern, Secret};
use llm_proxy::app::{admin::Admin, cli::address};
use std::{
    convert::Infallible, ffi::OsString, net::SocketAddr, path::PathBuf, str::FromStr,
    time::Duration,
};
use sysexits::ExitCode;

/// The configuration that is meant where none is named.
pub const CONFIG: &str = "gateway.yaml";

/// The text of `llm-gateway --help`.
#[derive(Debug, Parser)]
#[command(
    name = "llm-gateway",
    version,
    about = "An OpenAI-compatible gateway to your own model servers, on one machine",
    after_help = "Examples:\n  \
        llm-gateway demo\n  \
        llm-gateway serve --upstream http://127.0.0.1:8000\n  \
        llm-gateway serve --config gateway.yaml\n  \
        KEY=$(llm-gateway keys create --name laptop)\n\n\
        Exit codes: 0 done, 64 wrong usage, 65 bad configuration or data, 69 a port, server or \
        file is not available, 70 a defect of ours."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start simulated model servers, a gateway before them and a key to try it with
    Demo(DemoArgs),
    /// Start the gateway
    Serve(ServeArgs),
    /// Say everything that is wrong with a configuration
    Check(CheckArgs),
    /// Create, list, rotate, suspend and revoke API keys
    Keys(KeysArgs),
    /// Say why a key may or may not use a model
    Explain(ExplainArgs),
    /// Say what was used
    Usage(UsageArgs),
    /// Print the JSON schema of gateway.yaml, so that an editor completes it
    #[command(after_help = "Example:\n  llm-gateway config-schema > gateway.schema.json\n\n\
        Then make this the first line of gateway.yaml:\n  \
        # yaml-language-server: $schema=gateway.schema.json")]
    ConfigSchema,
}

/// The arguments of `demo`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  llm-gateway demo --listen 127.0.0.1:8888")]
pub struct DemoArgs {
    /// Where callers with API keys connect
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080",
          value_parser = address)]
    pub listen: SocketAddr,
    /// Where health and metrics are
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090",
          value_parser = address)]
    pub admin: SocketAddr,
}

/// The arguments of `serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    llm-gateway serve --upstream http://127.0.0.1:8000\n  \
    llm-gateway serve --config gateway.yaml --listen 0.0.0.0:8080")]
pub struct ServeArgs {
    /// A model server; everything it lists is served to everyone with a key
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    pub upstream: Option<Upstream>,
    /// The configuration, unless a model server is named; watched for changes
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
    /// The folder for keys and all that is kept [default: the configuration's, or ./data]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Where callers with API keys connect [default: the configuration's, or 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub listen: Option<SocketAddr>,
    /// Where health and metrics are [default: the configuration's, or 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub admin: Option<SocketAddr>,
}

/// The arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  llm-gateway check --config gateway.yaml")]
pub struct CheckArgs {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
}

/// The arguments of `keys`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    KEY=$(llm-gateway keys create --name laptop)\n  \
    llm-gateway keys list --config gateway.yaml")]
pub struct KeysArgs {
    /// Where the keys are.
    #[command(flatten)]
    pub data: DataArgs,
    /// What to do with keys.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// Where the data is.
#[derive(Debug, Default, Args)]
pub struct DataArgs {
    /// The data folder [default: the configuration's, or ./data if there is none]
    #[arg(long, value_name = "FOLDER", global = true, help_heading = "Data")]
    pub data_dir: Option<PathBuf>,
    /// The configuration that names the data folder [default: ./gateway.yaml, if it is there]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Data")]
    pub config: Option<PathBuf>,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key; it is printed once, alone on standard output
    #[command(after_help = "Examples:\n  \
        KEY=$(llm-gateway keys create --name laptop)\n  \
        llm-gateway keys create --name ci --models 'demo/*' --groups ml-team --expires 30d")]
    Create(CreateArgs),
    /// List keys; never the keys themselves
    #[command(after_help = "Example:\n  llm-gateway keys list --json")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse a key for good
    #[command(after_help = "Example:\n  llm-gateway keys revoke abcdefgh2345")]
    Revoke {
        /// The key's id, as `keys list` shows it
        #[arg(value_parser = KeyId::parse)]
        id: KeyId,
    },
    /// Make a key in place of another; it is printed once, alone on standard output
    #[command(after_help = "Example:\n  \
        KEY=$(llm-gateway keys rotate abcdefgh2345 --overlap 1h)")]
    Rotate {
        /// The key's id, as `keys list` shows it
        #[arg(value_parser = KeyId::parse)]
        id: KeyId,
        /// How long the old key stays valid, at most 90d
        #[arg(long, value_name = "DURATION", default_value = "24h",
              value_parser = humantime::parse_duration)]
        overlap: Duration,
    },
    /// Refuse a key until it is resumed
    #[command(after_help = "Example:\n  llm-gateway keys suspend abcdefgh2345")]
    Suspend {
        /// The key's id, as `keys list` shows it
        #[arg(value_parser = KeyId::parse)]
        id: KeyId,
    },
    /// Take a suspension back
    #[command(after_help = "Example:\n  llm-gateway keys resume abcdefgh2345")]
    Resume {
        /// The key's id, as `keys list` shows it
        #[arg(value_parser = KeyId::parse)]
        id: KeyId,
    },
}

/// The arguments of `keys create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What to call it, at most 200 characters
    #[arg(long)]
    pub name: String,
    /// Which models it may ask for: ids, prefixes such as 'demo/*', or '*' for all
    #[arg(long, value_name = "MODEL", value_delimiter = ',', default_value = "*",
          value_parser = ModelPattern::parse)]
    pub models: Vec<ModelPattern>,
    /// Who is behind it [default: the key's name]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The groups of whom is behind it
    #[arg(long, value_name = "GROUP", value_delimiter = ',', value_parser = Group::parse)]
    pub groups: Vec<Group>,
    /// When it stops working: after a time such as 30d, or at one such as 2030-01-31T00:00:00Z
    /// [default: never]
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<When>,
    /// How many requests it may have at a time [default: no limit]
    #[arg(long, value_name = "REQUESTS", value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: Option<u32>,
}

/// The arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    llm-gateway explain --key-id abcdefgh2345 --model qwen3")]
pub struct ExplainArgs {
    /// The key; better given in the environment, where nobody else sees it
    #[arg(long, env = "LLM_GATEWAY_KEY", hide_env_values = true, value_parser = secret)]
    pub key: Option<Secret>,
    /// The key's id, as `keys list` shows it; goes before a key
    #[arg(long, value_name = "ID", value_parser = KeyId::parse)]
    pub key_id: Option<KeyId>,
    /// The model, as a request names it
    #[arg(long)]
    pub model: String,
    /// Where the gateway's admin listener is: an address or a URL
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub admin: Admin,
}

/// The arguments of `usage`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  llm-gateway usage --since 7d --by model")]
pub struct UsageArgs {
    /// Where the ledger is.
    #[command(flatten)]
    pub data: DataArgs,
    /// From when on: for the last time such as 7d, or since one such as 2030-01-31T00:00:00Z
    #[arg(long, value_name = "WHEN", default_value = "30d")]
    pub since: When,
    /// What to sum up by
    #[arg(long, value_enum, default_value_t = By::KeyAndModel)]
    pub by: By,
}

/// What usage is summed up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Each key and model.
    KeyAndModel,
    /// Each key.
    Key,
    /// Each model.
    Model,
    /// Each user.
    User,
    /// Each day.
    Day,
}

/// A moment, said by itself or by how far off it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So far off.
    Away(Duration),
    /// Then.
    At(Timestamp),
}

/// Why a text is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWhen {
    /// Neither of the two forms.
    #[error("write a duration such as `30d`, or a time such as `2030-01-31T00:00:00Z`")]
    Form,
    /// Before or after all times that can be written.
    #[error("that is too far away")]
    TooFar,
}

impl Cli {
    /// Reads arguments, the program's name first. Prints help, version and what is wrong.
    ///
    /// # Errors
    /// How to exit instead.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, ExitCode> {
        parse(arguments).map_err(|error| {
            // Nobody is left to tell if this fails.
            let _ = error.print();
            if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok }
        })
    }
}

/// A whole key where its id is wanted is an easy mistake, and is not repeated.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(arguments).map_err(|mut error| {
        let value = error.get(ContextKind::InvalidValue).map(ToString::to_string);
        if value.is_some_and(|value| value.contains("sk-")) {
            let hidden = ContextValue::String("[a key]".to_owned());
            error.insert(ContextKind::InvalidValue, hidden);
        }
        error
    })
}

impl When {
    /// The moment, if the distance is meant forwards.
    ///
    /// # Errors
    /// [`InvalidWhen::TooFar`].
    pub fn after(self, now: Timestamp) -> Result<Timestamp, InvalidWhen> {
        self.from(now, |now, away| now.checked_add(away))
    }

    /// The moment, if the distance is meant backwards.
    ///
    /// # Errors
    /// [`InvalidWhen::TooFar`].
    pub fn before(self, now: Timestamp) -> Result<Timestamp, InvalidWhen> {
        self.from(now, |now, away| now.checked_sub(away))
    }

    fn from(
        self,
        now: Timestamp,
        step: impl FnOnce(Timestamp, SignedDuration) -> Result<Timestamp, jiff::Error>,
    ) -> Result<Timestamp, InvalidWhen> {
        match self {
            Self::At(time) => Ok(time),
            Self::Away(away) => SignedDuration::try_from(away)
                .and_then(|away| step(now, away))
                .map_err(|_out_of_range| InvalidWhen::TooFar),
        }
    }
}

impl FromStr for When {
    type Err = InvalidWhen;

    fn from_str(text: &str) -> Result<Self, InvalidWhen> {
        if let Ok(time) = text.parse() {
            return Ok(Self::At(time));
        }
        humantime::parse_duration(text).map(Self::Away).map_err(|_form| InvalidWhen::Form)
    }
}

fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests;
