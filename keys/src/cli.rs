//! The commands and their arguments.

use crate::{KubeOwner, Scope};
use clap::{
    ArgGroup, Args, Parser, Subcommand,
    builder::NonEmptyStringValueParser,
    error::{ContextKind, ContextValue},
};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use llm_contract::{Group, KeyId, ResourceName};
use std::{ffi::OsString, path::PathBuf, str::FromStr, time::Duration};
use sysexits::ExitCode;

/// The text of `llm-keys --help`.
#[derive(Debug, Parser)]
#[command(
    name = "llm-keys",
    version,
    about = "Makes and ends the API keys of a cluster's LLM gateway",
    after_help = "Examples:\n  \
        KEY=$(llm-keys create --name laptop --team ml-team --models models/qwen3)\n  \
        llm-keys list --namespace llm-serving\n\n\
        Exit codes: 0 done, 64 wrong usage, 65 bad configuration or data, 69 the cluster is not \
        available or does not allow it, 70 a defect of ours."
)]
pub struct Cli {
    /// Where the keys are.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which cluster, and where in it.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// The namespace of the keys [default: the context's]
    #[arg(long, short, global = true, help_heading = "Cluster",
          value_parser = NonEmptyStringValueParser::new())]
    pub namespace: Option<String>,
    /// How to reach the cluster [default: $KUBECONFIG, ~/.kube/config, or the pod's own account]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME", global = true, help_heading = "Cluster")]
    pub context: Option<String>,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key; it is printed once, alone on standard output
    #[command(after_help = "Examples:\n  \
        KEY=$(llm-keys create --name laptop --team ml-team --models models/qwen3)\n  \
        llm-keys create --name ci --service-account apps/ci --models 'models/*' --expires 90d\n  \
        llm-keys create --name laptop --owner ada --subject 4f1c.. --groups ml-team \\\n      \
        --issuer https://sso.example.org/realms/main --models '*'")]
    Create(CreateArgs),
    /// List keys; never the keys themselves
    #[command(after_help = "Example:\n  llm-keys list --json")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show all that is known of a key but its hash
    #[command(after_help = "Example:\n  llm-keys show abcdefgh2345")]
    Show {
        /// The key's id, as `list` shows it
        #[arg(value_parser = KeyId::parse)]
        id: KeyId,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse a key for good; its resource is deleted
    #[command(after_help = "Example:\n  llm-keys revoke abcdefgh2345")]
    Revoke {
        /// The key's id, as `list` shows it
        #[arg(value_parser = KeyId::parse)]
        id: KeyId,
    },
    /// Make a key in place of another; it is printed once, alone on standard output
    #[command(after_help = "Example:\n  KEY=$(llm-keys rotate abcdefgh2345 --overlap 1h)")]
    Rotate {
        /// The key's id, as `list` shows it
        #[arg(value_parser = KeyId::parse)]
        id: KeyId,
        /// How long the old key stays valid, at most 90d
        #[arg(long, value_name = "DURATION", default_value = "24h",
              value_parser = humantime::parse_duration)]
        overlap: Duration,
    },
    /// Refuse a key until it is resumed
    #[command(after_help = "Example:\n  llm-keys suspend abcdefgh2345")]
    Suspend {
        /// The key's id, as `list` shows it
        #[arg(value_parser = KeyId::parse)]
        id: KeyId,
    },
    /// Take a suspension back
    #[command(after_help = "Example:\n  llm-keys resume abcdefgh2345")]
    Resume {
        /// The key's id, as `list` shows it
        #[arg(value_parser = KeyId::parse)]
        id: KeyId,
    },
}

/// The arguments of `create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What to call it, at most 200 characters
    #[arg(long)]
    pub name: String,
    /// Which models it may ask for: `namespace/name` of an LLMModel or PassthroughModel,
    /// 'namespace/*' for all of a namespace, or '*' for all
    #[arg(long, value_name = "MODEL", value_delimiter = ',', required = true)]
    pub models: Vec<Scope>,
    /// Who is behind it.
    #[command(flatten)]
    pub owner: OwnerArgs,
    /// Groups that the owner is in; for a person until they log in or the directory is asked
    #[arg(long, value_name = "GROUP", value_delimiter = ',', value_parser = Group::parse)]
    pub groups: Vec<Group>,
    /// When it stops working: after a time such as 90d, or at one such as 2030-01-31 or
    /// 2030-01-31T12:00:00Z [default: never]
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<When>,
    /// How many requests it may have at a time [default: no limit]
    #[arg(long, value_name = "REQUESTS", value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: Option<u32>,
}

/// Who is behind a key: one of three.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("who").required(true).args(["owner", "team", "service_account"])))]
pub struct OwnerArgs {
    /// A person, by the name for logs and usage
    #[arg(long, value_name = "USER", requires_all = ["issuer", "subject"], help_heading = "Owner",
          value_parser = NonEmptyStringValueParser::new())]
    pub owner: Option<String>,
    /// Who issues the person's tokens
    #[arg(long, value_name = "URL", requires = "owner", help_heading = "Owner",
          value_parser = NonEmptyStringValueParser::new())]
    pub issuer: Option<String>,
    /// The claim `sub` of the person's tokens
    #[arg(long, value_name = "SUB", requires = "owner", help_heading = "Owner",
          value_parser = NonEmptyStringValueParser::new())]
    pub subject: Option<String>,
    /// A team: a group of the identity provider
    #[arg(long, value_name = "GROUP", value_parser = Group::parse, help_heading = "Owner")]
    pub team: Option<Group>,
    /// A service account of the cluster
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = account,
          help_heading = "Owner")]
    pub service_account: Option<ResourceName>,
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
    /// None of the forms.
    #[error("write a duration such as `90d`, or a time such as `2030-01-31T12:00:00Z`")]
    Form,
    /// After all times that can be written.
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
        let kinds =
            [ContextKind::InvalidValue, ContextKind::InvalidArg, ContextKind::InvalidSubcommand];
        for kind in kinds {
            let value = error.get(kind).map(ToString::to_string);
            if value.is_some_and(|value| value.contains("sk-")) {
                error.insert(kind, ContextValue::String("[a key]".to_owned()));
            }
        }
        error
    })
}

/// Why a text is no service account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write `namespace/name` of a service account")]
struct InvalidAccount;

fn account(text: &str) -> Result<ResourceName, InvalidAccount> {
    ResourceName::parse(text).map_err(|_form| InvalidAccount)
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
        // The arguments demand all three of a person then.
        let [issuer, subject, owner] = [issuer, subject, owner].map(Option::unwrap_or_default);
        Self::person(issuer, subject, owner)
    }
}

impl When {
    /// The moment, if the distance is meant forwards.
    ///
    /// # Errors
    /// [`InvalidWhen::TooFar`].
    pub fn after(self, now: Timestamp) -> Result<Timestamp, InvalidWhen> {
        match self {
            Self::At(time) => Ok(time),
            Self::Away(away) => SignedDuration::try_from(away)
                .and_then(|away| now.checked_add(away))
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
        if let Ok(day) = text.parse::<Date>() {
            let midnight =
                day.to_zoned(TimeZone::UTC).map_err(|_out_of_range| InvalidWhen::TooFar)?;
            return Ok(Self::At(midnight.timestamp()));
        }
        humantime::parse_duration(text).map(Self::Away).map_err(|_form| InvalidWhen::Form)
    }
}

#[cfg(test)]
mod tests;
