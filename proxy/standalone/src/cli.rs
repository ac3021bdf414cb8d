//! The command line of `llm-gateway`.

use crate::model_server::ModelServer;
use clap::{Args, Parser, Subcommand, ValueEnum};
use llm_cli::{KeyIdArgs, NewKeyArgs, RotateArgs, TimeSpec, listen_address};
use llm_contract::ModelPattern;
use llm_proxy::app::explain::ExplainArgs;
use std::{net::SocketAddr, path::PathBuf};

/// The default configuration file.
pub const CONFIG: &str = "gateway.yaml";
/// The environment variable for an API key.
pub const KEY_VARIABLE: &str = "LLM_GATEWAY_KEY";

#[derive(Debug, Parser)]
#[command(
    name = "llm-gateway",
    version,
    about = "An OpenAI-compatible gateway for your own model servers, on one machine",
    after_help = "Examples:\n  \
        llm-gateway demo\n  \
        llm-gateway serve --upstream http://127.0.0.1:8000\n  \
        llm-gateway serve --config gateway.yaml\n  \
        KEY=$(llm-gateway keys create --name laptop)\n\n\
        Exit codes: 0 success, 64 wrong usage, 65 invalid configuration or data, 69 a port, \
        server or file is unavailable, 70 internal error."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a gateway with simulated model servers and a key to try it
    Demo(DemoArgs),
    /// Run the gateway
    Serve(ServeArgs),
    /// Report every error in a configuration
    Check(CheckArgs),
    /// Create, list, rotate, suspend and revoke API keys
    Keys(KeysArgs),
    /// Explain why a key may or may not use a model
    #[command(
        mut_arg("key", |key| key.env(KEY_VARIABLE)),
        after_help = "Example:\n  llm-gateway explain --key-id abcdefgh2345 --model qwen3"
    )]
    Explain(ExplainArgs),
    /// Show how much was used
    Usage(UsageArgs),
    /// Print the JSON schema of gateway.yaml, for completion in editors
    #[command(after_help = "Example:\n  llm-gateway config-schema > gateway.schema.json\n\n\
        Then make this the first line of gateway.yaml:\n  \
        # yaml-language-server: $schema=gateway.schema.json")]
    ConfigSchema,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  llm-gateway demo --listen 127.0.0.1:8888")]
pub struct DemoArgs {
    /// Where clients with API keys connect
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080",
          value_parser = listen_address)]
    pub listen: SocketAddr,
    /// Where health and metrics are served
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090",
          value_parser = listen_address)]
    pub admin: SocketAddr,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    llm-gateway serve --upstream http://127.0.0.1:8000\n  \
    llm-gateway serve --config gateway.yaml --listen 0.0.0.0:8080")]
pub struct ServeArgs {
    /// A model server, all of whose models are served to everyone with a key
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    pub upstream: Option<ModelServer>,
    /// The configuration, used unless --upstream is set; reloaded when it changes
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
    #[command(flatten)]
    pub overrides: Overrides,
}

// Settings that take precedence over the configuration's.
#[derive(Clone, Debug, Args)]
pub struct Overrides {
    /// The folder for keys, usage and other data [default: the configuration's, or ./data]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Where clients with API keys connect [default: the configuration's, or 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    pub listen: Option<SocketAddr>,
    /// Where health and metrics are served [default: the configuration's, or 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    pub admin: Option<SocketAddr>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  llm-gateway check --config gateway.yaml")]
pub struct CheckArgs {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    KEY=$(llm-gateway keys create --name laptop)\n  \
    llm-gateway keys list --config gateway.yaml")]
pub struct KeysArgs {
    #[command(flatten, next_help_heading = "Data")]
    pub data: DataArgs,
    #[command(subcommand)]
    pub command: KeysCommand,
}

#[derive(Debug, Default, Args)]
pub struct DataArgs {
    /// The data folder [default: the configuration's, or ./data without one]
    #[arg(long, value_name = "FOLDER", global = true)]
    pub data_dir: Option<PathBuf>,
    /// The configuration that names the data folder [default: ./gateway.yaml, if it exists]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Create a key and print it, once, alone on standard output
    #[command(after_help = "Examples:\n  \
        KEY=$(llm-gateway keys create --name laptop)\n  \
        llm-gateway keys create --name ci --models 'demo/*' --groups ml-team --expires 30d")]
    Create(CreateArgs),
    /// List keys; secrets are never shown
    #[command(after_help = "Example:\n  llm-gateway keys list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key for good
    #[command(after_help = "Example:\n  llm-gateway keys revoke abcdefgh2345")]
    Revoke(KeyIdArgs),
    /// Replace a key by a new one and print it, once, alone on standard output
    #[command(after_help = "Example:\n  \
        KEY=$(llm-gateway keys rotate abcdefgh2345 --overlap 1h)")]
    Rotate(RotateArgs),
    /// Refuse a key until it is resumed
    #[command(after_help = "Example:\n  llm-gateway keys suspend abcdefgh2345")]
    Suspend(KeyIdArgs),
    /// Accept a suspended key again
    #[command(after_help = "Example:\n  llm-gateway keys resume abcdefgh2345")]
    Resume(KeyIdArgs),
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    pub key: NewKeyArgs,
    /// The models that the key may use: ids, prefixes such as 'demo/*', or '*' for all
    #[arg(long, value_name = "MODEL", value_delimiter = ',', default_value = "*",
          value_parser = ModelPattern::parse)]
    pub models: Vec<ModelPattern>,
    /// The owner's name in logs and usage [default: the key's name]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  llm-gateway usage --since 7d --by model")]
pub struct UsageArgs {
    #[command(flatten, next_help_heading = "Data")]
    pub data: DataArgs,
    /// The first time to count: a duration such as 7d before now, a date such as 2030-01-31
    /// (midnight UTC), or a time such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub since: TimeSpec,
    /// How to group the totals
    #[arg(long, value_enum, default_value_t = GroupBy::KeyAndModel)]
    pub by: GroupBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GroupBy {
    KeyAndModel,
    Key,
    Model,
    User,
    Day,
}

#[cfg(test)]
mod tests;
