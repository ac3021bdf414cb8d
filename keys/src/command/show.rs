//! Keys as people and programs read them: all but their hashes.

use super::{Failure, Output};
use crate::{KubeKey, State, Validity, Verdict};
use comfy_table::{Table, presets};
use jiff::Timestamp;
use llm_contract::plain;
use llm_crd::{ApiKeyOwner, CallerLimits};
use serde::Serialize;

/// A table of keys.
pub(super) fn list(keys: &[KubeKey], now: Timestamp, to: &mut Output<'_>) -> Result<(), Failure> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["ID", "NAME", "OWNER", "MODELS", "STATE", "AGE", "EXPIRES", "LAST USED"]);
    for key in keys {
        let row = [
            key.id.clone(),
            key.name.clone(),
            key.owner_name(),
            models(key),
            key.standing(now).to_string(),
            age(key.validity.created_at, now),
            time(key.validity.expires_at, "never"),
            key.last_used_at.map_or_else(|| "-".to_owned(), |then| age(then, now) + " ago"),
        ];
        table.add_row(row.map(|cell| plain(&cell)));
    }
    writeln!(to.out, "{table}")?;
    Ok(())
}

/// One key, a line for each fact that there is.
pub(super) fn one(key: &KubeKey, now: Timestamp, to: &mut Output<'_>) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let Validity { created_at, not_before, expires_at, .. } = key.validity;
    let facts = [
        ("id", Some(key.id.clone())),
        ("name", Some(key.name.clone())),
        ("state", Some(key.standing(now).to_string())),
        ("why", key.verdict.as_ref().map(|verdict| verdict.message.clone())),
        ("owner", Some(key.owner_name())),
        ("issuer", key.owner.issuer.clone()),
        ("subject", key.owner.subject.clone()),
        ("groups", Some(key.groups.join(", "))),
        ("models", Some(models(key))),
        ("client id", Some(key.client_id.clone())),
        ("created", Some(time(Some(created_at), ""))),
        ("valid from", not_before.map(|start| time(Some(start), ""))),
        ("expires", Some(time(expires_at, "never"))),
        ("last used", key.last_used_at.map(|then| time(Some(then), ""))),
        ("replaces", key.replaces.clone()),
        ("replaced by", key.replaced_by.clone()),
        ("requests at a time", key.limits.concurrency.map(|most| most.to_string())),
        ("requests per minute", key.limits.requests_per_minute.map(|most| most.to_string())),
        ("tokens per minute", key.limits.tokens_per_minute.map(|most| most.to_string())),
    ];
    for (name, fact) in facts {
        if let Some(fact) = fact.filter(|fact| !fact.is_empty()) {
            table.add_row([name, &plain(&fact)]);
        }
    }
    writeln!(to.out, "{table}")?;
    Ok(())
}

/// What `--json` shows of a key.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    id: &'a str,
    name: &'a str,
    client_id: &'a str,
    owner: &'a ApiKeyOwner,
    groups: &'a [String],
    models: &'a [String],
    state: State,
    verdict: &'a Option<Verdict>,
    created_at: Timestamp,
    not_before: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    replaces: &'a Option<String>,
    replaced_by: &'a Option<String>,
    limits: CallerLimits,
}

impl<'a> Shown<'a> {
    fn of(key: &'a KubeKey, now: Timestamp) -> Self {
        let Validity { created_at, not_before, expires_at, .. } = key.validity;
        Self {
            id: &key.id,
            name: &key.name,
            client_id: &key.client_id,
            owner: &key.owner,
            groups: &key.groups,
            models: &key.models,
            state: key.validity.state(now),
            verdict: &key.verdict,
            created_at,
            not_before,
            expires_at,
            last_used_at: key.last_used_at,
            replaces: &key.replaces,
            replaced_by: &key.replaced_by,
            limits: key.limits,
        }
    }
}

/// A list of keys for programs.
pub(super) fn list_json(
    keys: &[KubeKey],
    now: Timestamp,
    to: &mut Output<'_>,
) -> Result<(), Failure> {
    let shown: Vec<_> = keys.iter().map(|key| Shown::of(key, now)).collect();
    json(&shown, to)
}

/// One key for programs.
pub(super) fn one_json(key: &KubeKey, now: Timestamp, to: &mut Output<'_>) -> Result<(), Failure> {
    json(&Shown::of(key, now), to)
}

fn json(shown: &impl Serialize, to: &mut Output<'_>) -> Result<(), Failure> {
    serde_json::to_writer_pretty(&mut *to.out, shown)?;
    writeln!(to.out)?;
    Ok(())
}

/// The models that a key may ask for.
pub(super) fn models(key: &KubeKey) -> String {
    if key.models.is_empty() { "none".to_owned() } else { key.models.join(", ") }
}

/// A time to the minute.
pub(super) fn time(time: Option<Timestamp>, none: &str) -> String {
    time.map_or_else(|| none.to_owned(), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
}

/// How long ago something was, in its largest unit that says enough.
fn age(then: Timestamp, now: Timestamp) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    // Another clock may be a little ahead of ours.
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / MINUTE),
        7_200..172_800 => format!("{}h", seconds / HOUR),
        _ => format!("{}d", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_said_in_its_largest_unit_that_says_enough() {
        let now: Timestamp = "2030-01-31T00:00:00Z".parse().unwrap();
        for (then, said) in [
            ("2030-01-31T00:00:05Z", "0s"),
            ("2030-01-30T23:58:30Z", "90s"),
            ("2030-01-30T23:00:00Z", "60m"),
            ("2030-01-29T12:00:00Z", "36h"),
            ("2030-01-01T00:00:00Z", "30d"),
        ] {
            assert_eq!(age(then.parse().unwrap(), now), said);
        }
    }
}
