//! The command line.

use crate::app::config::Options;
use clap::{Parser, Subcommand, ValueEnum};

/// The control plane of the LLM gateway.
///
/// Makes what models need from LLMModel and PassthroughModel resources, and brings the route table
/// to every proxy.
#[derive(Debug, Parser)]
#[command(name = "llm-operator", version)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run until told to stop
    Run(Box<Options>),
    /// Print the route table that would be pushed to the proxies; credentials and hashes are left
    /// out
    Table {
        /// How the table is compiled, as for `run`
        #[command(flatten)]
        options: Box<Options>,
        /// In which form [default: a table on a terminal, JSON elsewhere]
        #[arg(long, short, value_name = "FORM")]
        output: Option<Output>,
    },
    /// Print what the operator must be allowed to do, as Roles and ClusterRoles
    Rbac(Box<Options>),
}

/// The form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}
