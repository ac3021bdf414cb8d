//! The command line of `llm-keys`.

use crate::{KubeOwner, ResourceScope};
use clap::{ArgGroup, Args, Parser, Subcommand, builder::NonEmptyStringValueParser};
use llm_cli::{KeyIdArgs, NewKeyArgs, RotateArgs};
use llm_contract::{Group, ResourceName};
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(
    name = "llm-keys",
    version,
    about = "Creates, rotates and revokes the API keys of a cluster's LLM gateway",
    after_help = "Examples:\n  \
        KEY=$(llm-keys create --name laptop --team ml-team --models models/qwen3)\n  \
        llm-keys list --namespace llm-serving\n\n\
        Exit codes: 0 success, 64 wrong usage, 65 invalid configuration or data, 69 the cluster is \
        unavailable or denies access, 70 internal error."
)]
pub struct Cli {
    #[command(flatten, next_help_heading = "Cluster")]
    pub cluster: ClusterArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// The namespace of the keys [default: the context's]
    #[arg(long, short, global = true,
          value_parser = NonEmptyStringValueParser::new())]
    pub namespace: Option<String>,
    /// The kubeconfig [default: $KUBECONFIG, ~/.kube/config, or the pod's service account]
    #[arg(long, value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME", global = true)]
    pub context: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a key and print it, once, alone on standard output
    #[command(
        mut_arg("groups", |groups| groups.help(
            "Groups of the key's owner; a person's are replaced at their next login")),
        after_help = "Examples:\n  \
        KEY=$(llm-keys create --name laptop --team ml-team --models models/qwen3)\n  \
        llm-keys create --name ci --service-account apps/ci --models 'models/*' --expires 90d\n  \
        llm-keys create --name laptop --owner ada --subject 4f1c.. --groups ml-team \\\n      \
        --issuer https://sso.example.org/realms/main --models '*'"
    )]
    Create(CreateArgs),
    /// List keys; secrets are never shown
    #[command(after_help = "Example:\n  llm-keys list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show everything about a key except its hash
    #[command(after_help = "Example:\n  llm-keys show abcdefgh2345")]
    Show {
        #[command(flatten)]
        key: KeyIdArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key for good by deleting its resource
    #[command(after_help = "Example:\n  llm-keys revoke abcdefgh2345")]
    Revoke(KeyIdArgs),
    /// Replace a key by a new one and print it, once, alone on standard output
    #[command(after_help = "Example:\n  KEY=$(llm-keys rotate abcdefgh2345 --overlap 1h)")]
    Rotate(RotateArgs),
    /// Refuse a key until it is resumed
    #[command(after_help = "Example:\n  llm-keys suspend abcdefgh2345")]
    Suspend(KeyIdArgs),
    /// Accept a suspended key again
    #[command(after_help = "Example:\n  llm-keys resume abcdefgh2345")]
    Resume(KeyIdArgs),
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    pub key: NewKeyArgs,
    /// The models that the key may use: `namespace/name` of an LLMModel or PassthroughModel,
    /// 'namespace/*' for all in a namespace, or '*' for all
    #[arg(long, value_name = "MODEL", value_delimiter = ',', required = true)]
    pub models: Vec<ResourceScope>,
    #[command(flatten, next_help_heading = "Owner")]
    pub owner: OwnerArgs,
}

// A person, a team or a service account.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("who").required(true).args(["owner", "team", "service_account"])))]
pub struct OwnerArgs {
    /// A person, by their name in logs and usage
    #[arg(long, value_name = "USER", requires_all = ["issuer", "subject"],
          value_parser = NonEmptyStringValueParser::new())]
    pub owner: Option<String>,
    /// The issuer of the person's tokens
    #[arg(long, value_name = "URL", requires = "owner",
          value_parser = NonEmptyStringValueParser::new())]
    pub issuer: Option<String>,
    /// The `sub` claim of the person's tokens
    #[arg(long, value_name = "SUB", requires = "owner",
          value_parser = NonEmptyStringValueParser::new())]
    pub subject: Option<String>,
    /// A team: a group of the identity provider
    #[arg(long, value_name = "GROUP", value_parser = Group::parse)]
    pub team: Option<Group>,
    /// A service account of the cluster
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = service_account)]
    pub service_account: Option<ResourceName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write `namespace/name` of a service account")]
struct InvalidServiceAccount;

fn service_account(text: &str) -> Result<ResourceName, InvalidServiceAccount> {
    ResourceName::parse(text).map_err(|_form| InvalidServiceAccount)
}

impl From<OwnerArgs> for KubeOwner {
    fn from(args: OwnerArgs) -> Self {
        let OwnerArgs { owner, issuer, subject, team, service_account } = args;
        if let Some(team) = team {
            return Self::team(team);
        }
        if let Some(account) = service_account {
            return Self::service_account(&account);
        }
        // clap requires all three for a person.
        let [issuer, subject, owner] = [issuer, subject, owner].map(Option::unwrap_or_default);
        Self::person(issuer, subject, owner)
    }
}

#[cfg(test)]
mod tests;
