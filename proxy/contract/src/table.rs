//! The whole configuration of a proxy as one versioned document.

pub mod document;

use crate::{
    Chain, InvalidKeyRecord, InvalidProvider, Issuer, KeyId, KeyRecord, ModelId, Provider, Route,
    RouteMatch, Settings, Upstream,
    push::{InvalidResource, parse_issuer, parse_route},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// The validated configuration of a proxy.
///
/// ```
/// let text = r#"{"version": 1, "revision": 7, "routes": [
///     {"model": "qwen3", "access": {"public": true},
///      "upstream": {"served": {"endpoints": ["http://10.0.0.5:8000"]}}}]}"#;
/// let table = llm_contract::Table::parse(text.as_bytes()).unwrap();
/// assert_eq!((table.revision, table.routes.len()), (7, 1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Table {
    /// Increases with every version.
    pub revision: u64,
    /// In the order of the document; ids are unique.
    pub routes: Vec<Route>,
    /// In the order of the document; ids are unique.
    pub keys: Vec<KeyRecord>,
    /// URLs are unique.
    pub issuers: Vec<Issuer>,
    /// Apply to every route.
    pub settings: Settings,
}

/// Why a table is invalid; nothing of it is used then.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTable {
    /// More than [`Table::BYTES_MAX`] bytes.
    #[error("a table has at most {} bytes", Table::BYTES_MAX)]
    TooLarge,
    /// Not JSON, or not of the schema.
    #[error("not a route table: {}", Chain(.0))]
    Syntax(serde_json::Error),
    /// Another schema version than [`Table::VERSION`].
    #[error("`version` is {0}; this proxy reads version {ours}", ours = Table::VERSION)]
    Version(u32),
    /// The name of an invalid provider.
    #[error("provider {0:?}")]
    Provider(String, #[source] InvalidProvider),
    /// The id of an invalid key record.
    #[error("key {0}")]
    Key(KeyId, #[source] InvalidKeyRecord),
    /// An invalid route, issuer, or settings.
    #[error(transparent)]
    Resource(#[from] InvalidResource),
    /// `model`, `provider`, `key` or `issuer`, and the name declared twice.
    #[error("{0} {1:?} is declared twice")]
    Duplicate(&'static str, String),
}

impl Table {
    /// The version of the schema.
    pub const VERSION: u32 = 1;
    /// The largest document, in bytes.
    pub const BYTES_MAX: usize = 512 * 1024 * 1024;

    /// Parses and validates a JSON document.
    ///
    /// # Errors
    /// [`InvalidTable`] naming the resource and the field.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidTable> {
        if Self::BYTES_MAX < text.len() {
            return Err(InvalidTable::TooLarge);
        }
        let document: document::Table =
            serde_json::from_slice(text).map_err(InvalidTable::Syntax)?;
        document.try_into()
    }
}

impl TryFrom<document::Table> for Table {
    type Error = InvalidTable;

    fn try_from(document: document::Table) -> Result<Self, InvalidTable> {
        let document::Table { version, revision, providers, routes, keys, issuers, settings } =
            document;
        if version != Self::VERSION {
            return Err(InvalidTable::Version(version));
        }
        let provider = |document: document::Provider| {
            let name = document.name.clone();
            Provider::try_from(document).map_err(|invalid| InvalidTable::Provider(name, invalid))
        };
        let providers = parse_unique("provider", providers, |it| it.name.clone(), provider)?;
        let providers: HashMap<_, _> =
            providers.into_iter().map(|it| (it.name.clone(), Arc::new(it))).collect();
        let routes = routes.into_iter().map(|route| parse_route(route, &providers));
        let routes = routes.collect::<Result<Vec<_>, _>>()?;
        reject_duplicate_models(&routes)?;
        let key = |document: KeyRecord| {
            let id = document.id;
            document.check().map_err(|invalid| InvalidTable::Key(id, invalid))
        };
        let issuer = |document| Ok(parse_issuer(document)?);
        Ok(Self {
            revision,
            routes,
            keys: parse_unique("key", keys, |it| it.id, key)?,
            issuers: parse_unique("issuer", issuers, |it| it.issuer.clone(), issuer)?,
            settings: settings.try_into().map_err(InvalidResource::Settings)?,
        })
    }
}

/// A served model may share the id of a provider's model and wins; others may not share ids.
fn reject_duplicate_models(routes: &[Route]) -> Result<(), InvalidTable> {
    let mut seen = HashSet::with_capacity(routes.len());
    for route in routes {
        let served = matches!(route.upstream, Upstream::Served(_));
        let names: Vec<&str> = match &route.matches {
            RouteMatch::CatchAll => vec!["*"],
            RouteMatch::Model { id, aliases } => {
                std::iter::once(id).chain(aliases).map(ModelId::as_str).collect()
            }
        };
        for name in names {
            if !seen.insert((served, name)) {
                return Err(InvalidTable::Duplicate("model", name.to_owned()));
            }
        }
    }
    Ok(())
}

fn parse_unique<D, N: ToString + Eq + std::hash::Hash, T>(
    kind: &'static str,
    documents: Vec<D>,
    name: impl Fn(&D) -> N,
    parse: impl Fn(D) -> Result<T, InvalidTable>,
) -> Result<Vec<T>, InvalidTable> {
    let mut seen = HashSet::with_capacity(documents.len());
    let parse = |document: D| {
        let name = name(&document);
        if seen.contains(&name) {
            return Err(InvalidTable::Duplicate(kind, name.to_string()));
        }
        seen.insert(name);
        parse(document)
    };
    documents.into_iter().map(parse).collect()
}

#[cfg(test)]
mod tests;
