//! `llm-gateway keys`: works on the data folder; a running gateway notices.
//!
//! A new key goes alone to `out`, so that `KEY=$(llm-gateway keys create ..)` works; what people
//! want to know about it goes to `notes`.

use super::Failure;
use crate::{
    cli::{CONFIG, CreateArgs, DataArgs, KeysArgs, KeysCommand},
    config,
};
use comfy_table::{Table, presets};
use jiff::Timestamp;
use llm_contract::{KeyId, ModelPattern, SecretKey};
use llm_keys::{FileStore, NewKey, State, StoredKey, StoredLimits, StoredOwner};
use serde::Serialize;
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

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
pub fn run(
    args: KeysArgs,
    now: Timestamp,
    random: &mut impl FnMut(&mut [u8]) -> io::Result<()>,
    to: &mut Output<'_>,
) -> Result<(), Failure> {
    let folder = data_dir(args.data)?;
    let store = FileStore::at(&folder);
    if !matches!(args.command, KeysCommand::Create(_)) {
        refuse_missing(&folder)?;
    }
    match args.command {
        KeysCommand::Create(args) => {
            if !folder.exists() {
                writeln!(to.notes, "{} is new: no gateway has used it yet", folder.display())?;
            }
            let (stored, key) = store.create(new_key(args, now)?, now, random)?;
            show(&stored, &key, to)
        }
        KeysCommand::Rotate { id, overlap } => {
            let (stored, key) = store.rotate(id, overlap, now, random)?;
            let overlap = humantime::format_duration(overlap);
            writeln!(to.notes, "key {id} is valid for {overlap} more, or until it expires before")?;
            show(&stored, &key, to)
        }
        KeysCommand::Revoke { id } => note(&store.revoke(id, now)?, now, to),
        KeysCommand::Suspend { id } => note(&store.suspend(id)?, now, to),
        KeysCommand::Resume { id } => note(&store.resume(id)?, now, to),
        KeysCommand::List { json } => {
            let keys = store.read()?;
            if json { list_json(keys.list(), now, to) } else { list(&store, keys.list(), now, to) }
        }
    }
}

/// The data folder that is meant: the one named, that of the configuration named, that of the one
/// here, or `./data`.
///
/// # Errors
/// [`Failure::Config`].
pub fn data_dir(args: DataArgs) -> Result<PathBuf, Failure> {
    let here = || Some(PathBuf::from(CONFIG)).filter(|file| file.exists());
    match args.data_dir {
        Some(folder) => Ok(folder),
        None => match args.config.or_else(here) {
            Some(file) => Ok(config::data_dir(&file)?),
            None => Ok(config::DATA_DIR.into()),
        },
    }
}

/// A folder that is not there is more likely the wrong one than an empty one.
///
/// # Errors
/// [`Failure::NoFolder`].
pub fn refuse_missing(folder: &Path) -> Result<(), Failure> {
    if folder.exists() { Ok(()) } else { Err(Failure::NoFolder { folder: folder.to_owned() }) }
}

fn new_key(args: CreateArgs, now: Timestamp) -> Result<NewKey, Failure> {
    let CreateArgs { name, models, user, groups, expires, concurrency } = args;
    let expires_at = expires.map(|when| when.after(now)).transpose().map_err(Failure::Expires)?;
    let owner = StoredOwner { name: user.unwrap_or_else(|| name.clone()), groups };
    let limits = StoredLimits { concurrency };
    Ok(NewKey { name, owner, models, not_before: None, expires_at, limits })
}

fn show(stored: &StoredKey, key: &SecretKey, to: &mut Output<'_>) -> Result<(), Failure> {
    writeln!(
        to.notes,
        "key {} ({}), models {}, expires {}; it is shown this once:",
        stored.id,
        stored.name,
        models(stored),
        time(stored.expires_at, "never"),
    )?;
    writeln!(to.out, "{}", key.reveal())?;
    to.out.flush()?;
    Ok(())
}

fn note(stored: &StoredKey, now: Timestamp, to: &mut Output<'_>) -> Result<(), Failure> {
    writeln!(to.notes, "key {} ({}) is {}", stored.id, stored.name, stored.state(now))?;
    Ok(())
}

fn list(
    store: &FileStore,
    keys: &[StoredKey],
    now: Timestamp,
    to: &mut Output<'_>,
) -> Result<(), Failure> {
    if keys.is_empty() {
        writeln!(to.notes, "no keys in {}", store.path().display())?;
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["ID", "NAME", "MODELS", "STATE", "CREATED", "EXPIRES"]);
    for key in keys {
        table.add_row([
            key.id.to_string(),
            key.name.clone(),
            models(key),
            key.state(now).to_string(),
            time(Some(key.created_at), ""),
            time(key.expires_at, "never"),
        ]);
    }
    writeln!(to.out, "{table}")?;
    Ok(())
}

/// What `--json` shows of a key: everything but the hash.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    id: KeyId,
    name: &'a str,
    client_id: &'a str,
    owner: &'a StoredOwner,
    models: &'a [ModelPattern],
    state: State,
    created_at: Timestamp,
    not_before: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    replaces: Option<KeyId>,
    limits: StoredLimits,
}

fn list_json(keys: &[StoredKey], now: Timestamp, to: &mut Output<'_>) -> Result<(), Failure> {
    let listed = keys.iter().map(|key| Listed {
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
    });
    serde_json::to_writer_pretty(&mut *to.out, &listed.collect::<Vec<_>>())?;
    writeln!(to.out)?;
    Ok(())
}

fn models(key: &StoredKey) -> String {
    key.models.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn time(time: Option<Timestamp>, none: &str) -> String {
    time.map_or_else(|| none.to_owned(), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests;
