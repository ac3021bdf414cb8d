//! The commands of `llm-keys`. Clock and random bytes are arguments.

mod error;
mod output;

pub use error::CliError;

use crate::{
    KubeKey, KubeOwner, KubeStore, NewKey, ResourceScope,
    cli::{Cli, Command, CreateArgs},
    connect,
};
use jiff::Timestamp;
use llm_cli::Streams;
use std::io;

/// Runs a command. An error means that nothing was changed, unless a new key could not be written.
pub async fn run(
    cli: Cli,
    now: Timestamp,
    random: &mut impl FnMut(&mut [u8]) -> io::Result<()>,
    to: &mut Streams<'_>,
) -> Result<(), CliError> {
    let (client, namespace) = connect::connect(cli.cluster).await?;
    let store = KubeStore::new(client, namespace);
    let changed: KubeKey = match cli.command {
        Command::Create(args) => {
            let (created, key) = store.create(new_key(args, now)?, now, random).await?;
            return Ok(output::print_new(&created, &key, to)?);
        }
        Command::Rotate(args) => {
            let (created, key) = store.rotate(args.id, args.overlap, now, random).await?;
            to.note_overlap(args.id, args.overlap)?;
            return Ok(output::print_new(&created, &key, to)?);
        }
        Command::Show { key, json } => {
            return Ok(output::print_one(&store.get(key.id).await?, json, now, to)?);
        }
        Command::List { json } => {
            let keys = store.list().await?;
            if keys.is_empty() {
                writeln!(to.notes, "no keys in namespace {}", store.namespace())?;
            }
            return Ok(output::print_list(&keys, json, now, to)?);
        }
        Command::Revoke(key) => store.revoke(key.id).await?,
        Command::Suspend(key) => store.suspend(key.id).await?,
        Command::Resume(key) => store.resume(key.id).await?,
    };
    Ok(to.note_state(&changed.id, &changed.name, changed.display_state(now))?)
}

fn new_key(args: CreateArgs, now: Timestamp) -> Result<NewKey<KubeOwner, ResourceScope>, CliError> {
    let CreateArgs { key, models, owner } = args;
    Ok(NewKey {
        expires_at: key.expires_at(now).map_err(CliError::Expires)?,
        name: key.name,
        owner: KubeOwner::from(owner).also_in(key.groups),
        models,
        not_before: None,
        concurrency: key.concurrency,
    })
}
