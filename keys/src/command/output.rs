//! Keys as people and programs read them, without their hashes.

use crate::{KubeKey, StoredKeyState, Validity};
use jiff::Timestamp;
use llm_cli::{KeySummary, Streams, Table, age, time, time_or, write_json};
use llm_contract::SecretKey;
use serde::Serialize;
use std::io;

pub(super) fn print_new(key: &KubeKey, secret: &SecretKey, to: &mut Streams<'_>) -> io::Result<()> {
    let models = models(key);
    let expires_at = key.validity.expires_at;
    let summary = KeySummary { id: &key.id, name: &key.name, models: &models, expires_at };
    to.print_new_key(&summary, secret)
}

pub(super) fn print_list(
    keys: &[KubeKey],
    json: bool,
    now: Timestamp,
    to: &mut Streams<'_>,
) -> io::Result<()> {
    if json {
        let views: Vec<_> = keys.iter().map(|key| KeyView::of(key, now)).collect();
        return write_json(&mut to.out, &views);
    }
    if keys.is_empty() {
        return Ok(());
    }
    let mut table =
        Table::new(&["ID", "NAME", "OWNER", "MODELS", "STATE", "AGE", "EXPIRES", "LAST USED"]);
    for key in keys {
        table.add_row([
            key.id.clone(),
            key.name.clone(),
            key.owner_name(),
            models(key),
            key.display_state(now),
            age(key.validity.created_at, now),
            time_or("never", key.validity.expires_at),
            key.last_used_at.map_or_else(|| "-".to_owned(), |then| age(then, now) + " ago"),
        ]);
    }
    writeln!(to.out, "{table}")
}

/// Prints one key, a line for each field that is set.
pub(super) fn print_one(
    key: &KubeKey,
    json: bool,
    now: Timestamp,
    to: &mut Streams<'_>,
) -> io::Result<()> {
    if json {
        return write_json(&mut to.out, &KeyView::of(key, now));
    }
    let Validity { created_at, not_before, expires_at, .. } = key.validity;
    let fields = [
        ("id", Some(key.id.clone())),
        ("name", Some(key.name.clone())),
        ("state", Some(key.display_state(now))),
        ("reason", key.condition.as_ref().map(|condition| condition.message.clone())),
        ("owner", Some(key.owner_name())),
        ("issuer", key.owner.issuer.clone()),
        ("subject", key.owner.subject.clone()),
        ("groups", Some(key.groups.join(", "))),
        ("models", Some(models(key))),
        ("client id", Some(key.client_id.clone())),
        ("created", Some(time(created_at))),
        ("valid from", not_before.map(time)),
        ("expires", Some(time_or("never", expires_at))),
        ("last used", key.last_used_at.map(time)),
        ("replaces", key.replaces.clone()),
        ("replaced by", key.replaced_by.clone()),
        ("concurrent requests", key.limits.concurrency.map(|max| max.to_string())),
        ("requests per minute", key.limits.requests_per_minute.map(|max| max.to_string())),
        ("tokens per minute", key.limits.tokens_per_minute.map(|max| max.to_string())),
    ];
    let mut table = Table::new(&[]);
    for (name, value) in fields {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            table.add_row([name, &value]);
        }
    }
    writeln!(to.out, "{table}")
}

#[derive(Serialize)]
struct KeyView<'a> {
    #[serde(flatten)]
    key: &'a KubeKey,
    state: StoredKeyState,
}

impl<'a> KeyView<'a> {
    fn of(key: &'a KubeKey, now: Timestamp) -> Self {
        Self { key, state: key.validity.state(now) }
    }
}

fn models(key: &KubeKey) -> String {
    if key.models.is_empty() { "none".to_owned() } else { key.models.join(", ") }
}
