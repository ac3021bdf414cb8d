//! `llm-gateway keys`: manages the keys in the data folder; a running gateway notices.

use super::data_dir;
use crate::{
    cli::{CreateArgs, KeysArgs, KeysCommand},
    error::CliError,
};
use jiff::Timestamp;
use llm_cli::{KeySummary, Streams, Table, time, time_or, write_json};
use llm_contract::{KeyId, ModelPattern, Owner, RequestLimits, SecretKey};
use llm_keys::{FileStore, NewKey, StoredKey, StoredKeyState};
use serde::Serialize;
use std::io;

/// Runs a command. An error means that nothing was changed, unless a new key could not be written.
pub fn run(
    args: KeysArgs,
    now: Timestamp,
    random: &mut impl FnMut(&mut [u8]) -> io::Result<()>,
    to: &mut Streams<'_>,
) -> Result<(), CliError> {
    let creates = matches!(args.command, KeysCommand::Create(_));
    let find = if creates { data_dir::find } else { data_dir::find_existing };
    let folder = find(args.data)?;
    let store = FileStore::at(&folder);
    let changed: StoredKey = match args.command {
        KeysCommand::Create(args) => {
            if !folder.exists() {
                writeln!(to.notes, "{} is new: no gateway has used it yet", folder.display())?;
            }
            let (created, key) = store.create(new_key(args, now)?, now, random)?;
            return Ok(print_new(&created, &key, to)?);
        }
        KeysCommand::Rotate(args) => {
            let (created, key) = store.rotate(args.id, args.overlap, now, random)?;
            to.note_overlap(args.id, args.overlap)?;
            return Ok(print_new(&created, &key, to)?);
        }
        KeysCommand::List { json } => return print_list(&store, json, now, to),
        KeysCommand::Revoke(key) => store.revoke(key.id, now)?,
        KeysCommand::Suspend(key) => store.suspend(key.id)?,
        KeysCommand::Resume(key) => store.resume(key.id)?,
    };
    Ok(to.note_state(changed.id.as_str(), &changed.name, changed.state(now))?)
}

fn new_key(args: CreateArgs, now: Timestamp) -> Result<NewKey, CliError> {
    let CreateArgs { key, models, user } = args;
    Ok(NewKey {
        expires_at: key.expires_at(now).map_err(CliError::Expires)?,
        owner: Owner { name: user.unwrap_or_else(|| key.name.clone()), groups: key.groups },
        name: key.name,
        models,
        not_before: None,
        concurrency: key.concurrency,
    })
}

fn print_new(key: &StoredKey, secret: &SecretKey, to: &mut Streams<'_>) -> io::Result<()> {
    let (models, expires_at) = (models(key), key.expires_at);
    let summary = KeySummary { id: key.id.as_str(), name: &key.name, models: &models, expires_at };
    to.print_new_key(&summary, secret)
}

fn print_list(
    store: &FileStore,
    json: bool,
    now: Timestamp,
    to: &mut Streams<'_>,
) -> Result<(), CliError> {
    let keys = store.read()?;
    let keys = keys.list();
    if json {
        let views: Vec<_> = keys.iter().map(|key| KeyView::of(key, now)).collect();
        return Ok(write_json(&mut to.out, &views)?);
    }
    if keys.is_empty() {
        return Ok(writeln!(to.notes, "no keys in {}", store.path().display())?);
    }
    let mut table = Table::new(&["ID", "NAME", "MODELS", "STATE", "CREATED", "EXPIRES"]);
    for key in keys {
        table.add_row([
            key.id.to_string(),
            key.name.clone(),
            models(key),
            key.state(now).to_string(),
            time(key.created_at),
            time_or("never", key.expires_at),
        ]);
    }
    Ok(writeln!(to.out, "{table}")?)
}

/// A key in the output of `--json`, without its hash.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyView<'a> {
    id: KeyId,
    name: &'a str,
    client_id: &'a str,
    owner: &'a Owner,
    models: &'a [ModelPattern],
    state: StoredKeyState,
    created_at: Timestamp,
    not_before: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    replaces: Option<KeyId>,
    limits: RequestLimits,
}

impl<'a> KeyView<'a> {
    fn of(key: &'a StoredKey, now: Timestamp) -> Self {
        Self {
            id: key.id,
            name: &key.name,
            client_id: &key.client_id,
            owner: &key.owner,
            models: &key.models,
            state: key.state(now),
            created_at: key.created_at,
            not_before: key.not_before,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            replaces: key.replaces,
            limits: key.limits,
        }
    }
}

fn models(key: &StoredKey) -> String {
    key.models.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
