//! The command line of `llm-operator`.

use crate::app::config::Options;
use clap::{Parser, Subcommand};
use llm_cli::OutputArgs;

/// The control plane of the LLM gateway.
///
/// Turns LLMModel and PassthroughModel resources into the objects that models need, and pushes the
/// route table to every proxy.
#[derive(Debug, Parser)]
#[command(name = "llm-operator", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator
    Run(Box<Options>),
    /// Print the route table that would be pushed to the proxies, without credentials and hashes
    Table {
        #[command(flatten)]
        options: Box<Options>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Print the permissions that the operator needs, as Roles and ClusterRoles
    Rbac(Box<Options>),
}
