//! What `llm-keys` does.
//!
//! A new key goes alone to `out`, so that `KEY=$(llm-keys create ..)` works; what people want to
//! know about it goes to `notes`. Clock and randomness are arguments.

mod failure;
mod show;

pub use failure::Failure;

use crate::{
    KubeKey, KubeOwner, KubeStore, NewKey, Scope, StoredLimits,
    cli::{Cli, Command, CreateArgs},
    connect,
};
use jiff::Timestamp;
use llm_contract::{SecretKey, plain};
use std::io::{self, Write};

/// Where a command writes.
pub struct Output<'a> {
    /// What was asked for; standard output.
    pub out: &'a mut dyn Write,
    /// What people want to know besides; standard error.
    pub notes: &'a mut dyn Write,
}

/// Does what the arguments say.
///
/// # Errors
/// [`Failure`]; nothing is changed then, except if a new key could not be written out.
pub async fn run(
    cli: Cli,
    now: Timestamp,
    random: &mut impl FnMut(&mut [u8]) -> io::Result<()>,
    to: &mut Output<'_>,
) -> Result<(), Failure> {
    let (client, namespace) = connect::connect(cli.cluster).await?;
    let store = KubeStore::new(client, namespace);
    match cli.command {
        Command::Create(args) => {
            let (made, key) = store.create(new_key(args, now)?, now, random).await?;
            hand_over(&made, &key, to)
        }
        Command::Rotate { id, overlap } => {
            let (made, key) = store.rotate(id, overlap, now, random).await?;
            let overlap = humantime::format_duration(overlap);
            writeln!(to.notes, "key {id} is valid for {overlap} more, or until it expires before")?;
            hand_over(&made, &key, to)
        }
        Command::Revoke { id } => note(&store.revoke(id).await?, now, to),
        Command::Suspend { id } => note(&store.suspend(id).await?, now, to),
        Command::Resume { id } => note(&store.resume(id).await?, now, to),
        Command::Show { id, json } => {
            let key = store.get(id).await?;
            if json { show::one_json(&key, now, to) } else { show::one(&key, now, to) }
        }
        Command::List { json } => {
            let keys = store.list().await?;
            if keys.is_empty() {
                writeln!(to.notes, "no keys in namespace {}", store.namespace())?;
            }
            if json { show::list_json(&keys, now, to) } else { show::list(&keys, now, to) }
        }
    }
}

fn new_key(args: CreateArgs, now: Timestamp) -> Result<NewKey<KubeOwner, Scope>, Failure> {
    let CreateArgs { name, models, owner, groups, expires, concurrency } = args;
    let expires_at = expires.map(|when| when.after(now)).transpose().map_err(Failure::Expires)?;
    let owner = KubeOwner::from(owner).also_in(groups);
    let limits = StoredLimits { concurrency };
    Ok(NewKey { name, owner, models, not_before: None, expires_at, limits })
}

fn hand_over(made: &KubeKey, key: &SecretKey, to: &mut Output<'_>) -> Result<(), Failure> {
    writeln!(
        to.notes,
        "key {} ({}), models {}, expires {}; it is shown this once:",
        made.id,
        plain(&made.name),
        plain(&show::models(made)),
        show::time(made.validity.expires_at, "never"),
    )?;
    writeln!(to.out, "{}", key.reveal())?;
    to.out.flush()?;
    Ok(())
}

fn note(key: &KubeKey, now: Timestamp, to: &mut Output<'_>) -> Result<(), Failure> {
    writeln!(to.notes, "key {} ({}) is {}", key.id, plain(&key.name), key.standing(now))?;
    Ok(())
}
