//! The route table in force, for people and for programs.

use crate::{OutputFormat, Table, time, write_json};
use jiff::Timestamp;
use llm_contract::{
    Entries, document,
    push::{Kind, RedactedResource, RedactedTable},
};
use serde::Deserialize;
use std::io::{self, Write};

/// As many items of a list are named in one cell.
const NAMED_MAX: usize = 3;

type Row = Vec<String>;

/// The resources of one kind.
struct Section {
    header: &'static [&'static str],
    rows: Vec<Row>,
}

/// Prints a route table. Its secrets are redacted already.
pub fn print_route_table(
    table: &RedactedTable,
    format: OutputFormat,
    out: &mut impl Write,
) -> io::Result<()> {
    if format == OutputFormat::Json {
        return write_json(out, table);
    }
    for Section { header, rows } in sections(table) {
        let mut table = Table::new(header);
        rows.iter().for_each(|row| table.add_row(row));
        writeln!(out, "{table}\n")?;
    }
    writeln!(out, "table {}", table.digest)
}

/// The kinds that the table has resources of, then what was rejected.
fn sections(table: &RedactedTable) -> Vec<Section> {
    let of = |kind, header, rows: fn(&RedactedResource) -> Option<Vec<Row>>| {
        let resources = table.resources.iter().filter(|it| it.kind == kind);
        let rows = resources.flat_map(|it| rows(it).unwrap_or_else(|| vec![unreadable(it)]));
        Section { header, rows: rows.collect() }
    };
    let refused = table
        .refused
        .iter()
        .map(|it| vec![it.kind.as_str().to_owned(), it.name.clone(), it.reason.clone()]);
    let mut sections = vec![
        of(Kind::Settings, &["CORS ORIGINS"], settings),
        of(Kind::Issuers, &["ISSUER", "AUDIENCES", "GROUPS CLAIM"], issuers),
        of(
            Kind::Routes,
            &["MODEL", "RESOURCE", "UPSTREAM", "ACCESS", "ENTRIES", "ALIASES"],
            routes,
        ),
        of(Kind::Key, &["KEY", "OWNER", "GROUPS", "MODELS", "VALID"], key),
        Section { header: &["REFUSED", "NAME", "REASON"], rows: refused.collect() },
    ];
    sections.retain(|section| !section.rows.is_empty());
    sections
}

fn unreadable(resource: &RedactedResource) -> Row {
    vec![resource.name.clone(), "unknown format; see it with --output json".to_owned()]
}

fn settings(resource: &RedactedResource) -> Option<Vec<Row>> {
    let document::Settings { cors_origins } = read(resource)?;
    Some(vec![vec![cors_origins.map_or_else(|| "any".to_owned(), |origins| list(&origins))]])
}

fn issuers(resource: &RedactedResource) -> Option<Vec<Row>> {
    let issuers: Vec<document::Issuer> = read(resource)?;
    let row = |it: document::Issuer| vec![it.issuer, list(&it.audiences), it.groups_claim];
    Some(issuers.into_iter().map(row).collect())
}

fn routes(resource: &RedactedResource) -> Option<Vec<Row>> {
    let document::Routes { provider, routes } = read(resource)?;
    let url = provider.map(|it| it.url).unwrap_or_default();
    let row = |route: document::Route| {
        let upstream = match &route.upstream {
            document::Upstream::Served(served) => match served.endpoints.as_slice() {
                [] => "no ready pod".to_owned(),
                [endpoint] => endpoint.clone(),
                endpoints => format!("{} endpoints", endpoints.len()),
            },
            document::Upstream::Provider { model: Some(renamed), .. }
                if route.model.as_ref() != Some(renamed) =>
            {
                format!("{url} as {renamed}")
            }
            document::Upstream::Provider { .. } => url.clone(),
        };
        let model = route.model.map_or_else(|| "*".to_owned(), |model| model.to_string());
        let access = access(&route.access);
        vec![
            model,
            resource.name.clone(),
            upstream,
            access,
            entries(route.entries),
            list(&route.aliases),
        ]
    };
    Some(routes.into_iter().map(row).collect())
}

/// A key without its hash, which is redacted and would not parse.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    owner: document::Owner,
    #[serde(default)]
    models: Vec<String>,
    #[serde(default)]
    resources: Vec<String>,
    not_before: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    #[serde(default)]
    suspended: bool,
}

fn key(resource: &RedactedResource) -> Option<Vec<Row>> {
    let Key { owner, models, resources, not_before, expires_at, suspended } = read(resource)?;
    let valid = match (not_before.map(time), expires_at.map(time)) {
        _ if suspended => "suspended".to_owned(),
        (None, None) => "always".to_owned(),
        (None, Some(end)) => format!("until {end}"),
        (Some(start), None) => format!("from {start}"),
        (Some(start), Some(end)) => format!("from {start} until {end}"),
    };
    let models: Vec<_> = models.into_iter().chain(resources).collect();
    let models = if models.is_empty() { "none".to_owned() } else { list(&models) };
    Some(vec![vec![resource.name.clone(), owner.name, list(&owner.groups), models, valid]])
}

fn read<'a, T: Deserialize<'a>>(resource: &'a RedactedResource) -> Option<T> {
    T::deserialize(&resource.document).ok()
}

fn access(access: &document::Access) -> String {
    match access.groups.as_slice() {
        _ if access.public => "everyone".to_owned(),
        [] => "no one".to_owned(),
        groups => list(groups),
    }
}

fn entries(entries: Entries) -> String {
    let all = [("external", entries.external), ("internal", entries.internal)];
    list(&all.into_iter().filter_map(|(name, is_open)| is_open.then_some(name)).collect::<Vec<_>>())
}

fn list(items: &[impl ToString]) -> String {
    let named: Vec<_> = items.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    match items.len().saturating_sub(NAMED_MAX) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm_contract::push::{Digest, Documents, Name};
    use serde_json::{Value, json};

    fn rows(kind: Kind, name: &str, document: &Value) -> Vec<Vec<String>> {
        let mut documents = Documents::default();
        documents.put(Name::new(kind, name), document.to_string().into());
        let sections = sections(&RedactedTable::of(documents.digest(), documents.iter()));
        sections.into_iter().flat_map(|it| it.rows).collect()
    }

    #[test]
    fn a_route_shows_its_upstream_and_who_may_use_it() {
        let served =
            |endpoints: &[&str]| json!({"served": {"endpoints": endpoints, "apiKey": "x"}});
        let route = |model: &str, upstream: Value, access: Value| json!({"model": model, "upstream": upstream, "access": access});
        let one = served(&["http://10.0.0.1:8000"]);
        let two = served(&["http://10.0.0.1:8000", "http://10.0.0.2:8000"]);
        let groups = json!({"groups": ["a", "b", "c", "d"]});
        let mut partly = route("d", json!({"provider": {"name": "p", "model": "x"}}), json!({}));
        partly["entries"] = json!({"external": false, "internal": true});
        partly["aliases"] = json!(["e"]);
        let credential = json!({"header": "authorization", "secret": "sk-upstream"});
        let provider = json!({"name": "p", "url": "https://p.example", "credential": credential});
        let document = json!({"provider": provider, "routes": [
            route("a", one, json!({"public": true})),
            route("b", two, groups),
            route("c", served(&[]), json!({})),
            partly,
        ]});
        assert_eq!(
            rows(Kind::Routes, "n/m", &document),
            [
                ["a", "n/m", "http://10.0.0.1:8000", "everyone", "external, internal", ""],
                ["b", "n/m", "2 endpoints", "a, b, c and 1 more", "external, internal", ""],
                ["c", "n/m", "no ready pod", "no one", "external, internal", ""],
                ["d", "n/m", "https://p.example as x", "no one", "internal", "e"],
            ]
        );
    }

    #[test]
    fn a_key_shows_its_owner_and_when_it_is_valid() {
        let key = |more: Value| {
            let mut key = json!({"id": "abcdefgh2345", "clientId": "c", "hash": "$argon2id$x",
                "owner": {"name": "a\u{1b}da", "groups": ["ml"]}, "resources": ["n/m"]});
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            rows(Kind::Key, "abcdefgh2345", &key).remove(0)
        };
        let (start, end) = ("2030-01-01T00:00:00Z", "2030-02-01T12:30:45Z");
        for (more, valid) in [
            (json!({}), "always"),
            (json!({"suspended": true, "expiresAt": end}), "suspended"),
            (json!({"expiresAt": end}), "until 2030-02-01 12:30"),
            (
                json!({"notBefore": start, "expiresAt": end}),
                "from 2030-01-01 00:00 until 2030-02-01 12:30",
            ),
        ] {
            assert_eq!(key(more), ["abcdefgh2345", "a\u{1b}da", "ml", "n/m", valid]);
        }
        assert_eq!(key(json!({"resources": []}))[3], "none");
    }

    #[test]
    fn a_resource_of_an_unknown_format_is_named() {
        let odd = json!({"routes": [], "newer": true});
        assert_eq!(rows(Kind::Routes, "n/m", &odd)[0][0], "n/m");
    }

    #[test]
    fn refused_resources_come_last_with_their_reasons() {
        let refused = [(Name::new(Kind::Routes, "n/m"), "it holds a line\nbreak")];
        let table = RedactedTable::of(Digest::default(), []).and_refused(refused);
        let rows: Vec<_> = sections(&table).into_iter().flat_map(|it| it.rows).collect();
        assert_eq!(rows, [["routes", "n/m", "it holds a line\nbreak"]]);
    }

    #[test]
    fn a_printed_table_cannot_steer_the_terminal() {
        let refused = [(Name::new(Kind::Routes, "n/m"), "it holds a line\nbreak\u{1b}")];
        let table = RedactedTable::of(Digest::default(), []).and_refused(refused);
        let mut out = Vec::new();
        print_route_table(&table, OutputFormat::Table, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("it holds a line\u{fffd}break\u{fffd}"), "{text}");
    }

    #[test]
    fn a_route_is_named_with_its_resource() {
        let routes = json!({"routes": [{"model": "qwen3", "access": {"public": true},
            "upstream": {"served": {"endpoints": ["http://10.0.0.1:8000"]}}}]});
        assert_eq!(rows(Kind::Routes, "models/qwen3", &routes)[0][..2], ["qwen3", "models/qwen3"]);
    }
}
