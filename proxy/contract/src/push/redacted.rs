//! A table for people and their programs: credentials and hashes are replaced.

use super::{Digest, Kind, Name, redacted};
use crate::{Entries, document, plain};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// As many of a list are named in one place.
const NAMED_MAX: usize = 3;

/// A table as it is told. Its documents are without secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RedactedTable {
    /// Stands for all of it.
    pub digest: String,
    /// What it says.
    pub resources: Vec<RedactedResource>,
    /// What was refused, by whoever has the table in force.
    #[serde(default)]
    pub refused: Vec<RefusedResource>,
}

/// A document of a table, without its secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RedactedResource {
    /// What it says.
    pub kind: Kind,
    /// See [`Name`].
    pub name: String,
    /// JSON of the schema that is pushed.
    pub document: Value,
}

/// A document that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedResource {
    /// What it says.
    pub kind: Kind,
    /// See [`Name`].
    pub name: String,
    /// For people.
    pub reason: String,
}

/// Rows that belong together, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The columns.
    pub head: &'static [&'static str],
    /// As many cells each.
    pub rows: Vec<Vec<String>>,
}

impl RedactedTable {
    /// Replaces what is secret in these documents.
    pub fn of<'a>(
        digest: Digest,
        documents: impl IntoIterator<Item = (&'a Name, &'a Bytes)>,
    ) -> Self {
        let resources = documents.into_iter().map(|(name, text)| RedactedResource {
            kind: name.kind,
            name: name.name.as_ref().to_owned(),
            document: redacted(text),
        });
        Self { digest: digest.to_string(), resources: resources.collect(), refused: Vec::new() }
    }

    /// The same, and what was refused.
    #[must_use]
    pub fn and_refused(
        mut self,
        refused: impl IntoIterator<Item = (Name, impl Into<String>)>,
    ) -> Self {
        self.refused.extend(refused.into_iter().map(|(name, reason)| RefusedResource {
            kind: name.kind,
            name: name.name.as_ref().to_owned(),
            reason: reason.into(),
        }));
        self
    }

    /// All of it in rows, without what would steer a terminal. Nothing is said of what there is
    /// nothing of.
    ///
    /// ```
    /// use llm_contract::push::{Documents, Kind, Name, RedactedTable};
    /// let mut documents = Documents::default();
    /// let routes = r#"{"routes": [{"model": "qwen3", "access": {"public": true},
    ///     "upstream": {"served": {"endpoints": ["http://10.0.0.1:8000"]}}}]}"#;
    /// documents.put(Name::new(Kind::Routes, "models/qwen3"), routes.into());
    /// let shown = RedactedTable::of(documents.digest(), documents.iter());
    /// assert_eq!(shown.sections()[0].rows[0][..2], ["qwen3", "models/qwen3"]);
    /// ```
    pub fn sections(&self) -> Vec<Section> {
        let of = |kind, head, rows: fn(&RedactedResource) -> Option<Vec<Vec<String>>>| {
            let resources = self.resources.iter().filter(|it| it.kind == kind);
            let rows = resources.flat_map(|it| rows(it).unwrap_or_else(|| vec![it.unreadable()]));
            Section { head, rows: rows.collect() }
        };
        let refused = self
            .refused
            .iter()
            .map(|it| vec![it.kind.as_str().to_owned(), it.name.clone(), it.reason.clone()]);
        let mut sections = vec![
            of(Kind::Settings, &["CORS ORIGINS"], settings),
            of(Kind::Issuers, &["ISSUER", "AUDIENCES", "GROUPS IN"], issuers),
            of(Kind::Routes, &["MODEL", "RESOURCE", "LEADS TO", "FOR", "AT", "ALSO"], routes),
            of(Kind::Key, &["KEY", "OWNER", "GROUPS", "MODELS", "VALID"], key),
            Section { head: &["REFUSED", "NAME", "WHY"], rows: refused.collect() },
        ];
        sections.retain(|section| !section.rows.is_empty());
        for cell in sections.iter_mut().flat_map(|it| &mut it.rows).flatten() {
            *cell = plain(cell);
        }
        sections
    }
}

impl RedactedResource {
    fn unreadable(&self) -> Vec<String> {
        vec![self.name.clone(), "cannot be read here: see it as JSON".to_owned()]
    }
}

fn settings(shown: &RedactedResource) -> Option<Vec<Vec<String>>> {
    let document::Settings { cors_origins } = read(shown)?;
    Some(vec![vec![cors_origins.map_or_else(|| "any".to_owned(), |origins| list(&origins))]])
}

fn issuers(shown: &RedactedResource) -> Option<Vec<Vec<String>>> {
    let issuers: Vec<document::Issuer> = read(shown)?;
    let row = |it: document::Issuer| vec![it.issuer, list(&it.audiences), it.groups_claim];
    Some(issuers.into_iter().map(row).collect())
}

fn routes(shown: &RedactedResource) -> Option<Vec<Vec<String>>> {
    let document::Routes { provider, routes } = read(shown)?;
    let url = provider.map(|it| it.url).unwrap_or_default();
    let row = |route: document::Route| {
        let leads_to = match &route.upstream {
            document::Upstream::Served(served) => match served.endpoints.as_slice() {
                [] => "no ready pod".to_owned(),
                [endpoint] => endpoint.clone(),
                endpoints => format!("{} endpoints", endpoints.len()),
            },
            document::Upstream::Provider { model: Some(there), .. }
                if route.model.as_ref() != Some(there) =>
            {
                format!("{url} as {there}")
            }
            document::Upstream::Provider { .. } => url.clone(),
        };
        let model = route.model.map_or_else(|| "*".to_owned(), |model| model.to_string());
        let who = access(&route.access);
        vec![model, shown.name.clone(), leads_to, who, at(route.entries), list(&route.aliases)]
    };
    Some(routes.into_iter().map(row).collect())
}

/// What is shown of a key: all but its hash, which is replaced.
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

fn key(shown: &RedactedResource) -> Option<Vec<Vec<String>>> {
    let Key { owner, models, resources, not_before, expires_at, suspended } = read(shown)?;
    let minute = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M").to_string();
    let valid = match (not_before.map(minute), expires_at.map(minute)) {
        _ if suspended => "suspended".to_owned(),
        (None, None) => "always".to_owned(),
        (None, Some(end)) => format!("until {end}"),
        (Some(start), None) => format!("from {start}"),
        (Some(start), Some(end)) => format!("from {start} until {end}"),
    };
    let models: Vec<_> = models.into_iter().chain(resources).collect();
    let models = if models.is_empty() { "none".to_owned() } else { list(&models) };
    Some(vec![vec![shown.name.clone(), owner.name, list(&owner.groups), models, valid]])
}

fn read<'a, T: Deserialize<'a>>(shown: &'a RedactedResource) -> Option<T> {
    T::deserialize(&shown.document).ok()
}

fn access(access: &document::Access) -> String {
    match access.groups.as_slice() {
        _ if access.public => "everyone".to_owned(),
        [] => "nobody".to_owned(),
        groups => list(groups),
    }
}

fn at(entries: Entries) -> String {
    let all = [("external", entries.external), ("internal", entries.internal)];
    list(&all.into_iter().filter_map(|(name, there)| there.then_some(name)).collect::<Vec<_>>())
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
    use crate::push::Documents;
    use serde_json::json;

    fn rows(kind: Kind, name: &str, document: &Value) -> Vec<Vec<String>> {
        let mut documents = Documents::default();
        documents.put(Name::new(kind, name), document.to_string().into());
        let sections = RedactedTable::of(documents.digest(), documents.iter()).sections();
        sections.into_iter().flat_map(|it| it.rows).collect()
    }

    #[test]
    fn a_route_says_where_it_leads_and_who_may_use_it() {
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
                ["c", "n/m", "no ready pod", "nobody", "external, internal", ""],
                ["d", "n/m", "https://p.example as x", "nobody", "internal", "e"],
            ]
        );
    }

    #[test]
    fn a_key_says_whose_it_is_and_when_it_is_valid() {
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
            assert_eq!(key(more), ["abcdefgh2345", "a\u{fffd}da", "ml", "n/m", valid]);
        }
        assert_eq!(key(json!({"resources": []}))[3], "none");
    }

    #[test]
    fn what_cannot_be_read_here_is_named_all_the_same() {
        let odd = json!({"routes": [], "newer": true});
        assert_eq!(rows(Kind::Routes, "n/m", &odd)[0][0], "n/m");
    }

    #[test]
    fn what_was_refused_comes_last_with_its_reason() {
        let refused = [(Name::new(Kind::Routes, "n/m"), "it holds a line\nbreak")];
        let shown = RedactedTable::of(Digest::default(), []).and_refused(refused);
        let rows: Vec<_> = shown.sections().into_iter().flat_map(|it| it.rows).collect();
        assert_eq!(rows, [["routes", "n/m", "it holds a line\u{fffd}break"]]);
    }
}
