//! The whole of what a proxy needs to know, as one versioned document.

pub mod document;

use crate::{
    Chain, InvalidIssuer, InvalidKeyRecord, InvalidProvider, InvalidRoute, InvalidSettings, Issuer,
    KeyId, KeyRecord, ModelId, Provider, Route, RouteMatch, Settings, Upstream,
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Everything a proxy decides by. Each value in it is good.
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
    /// Counts up; says which of two tables is newer.
    pub revision: u64,
    /// In the document's order.
    pub routes: Vec<Route>,
    /// In the document's order; no id twice.
    pub keys: Vec<KeyRecord>,
    /// No URL twice.
    pub issuers: Vec<Issuer>,
    /// What applies to every route.
    pub settings: Settings,
}

/// Why a table is refused. Nothing of it is then in force.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTable {
    /// Larger than any table should be.
    #[error("a table has at most {} bytes", Table::BYTES_MAX)]
    TooLarge,
    /// Not JSON, or not of the schema.
    #[error("not a route table: {}", Chain(.0))]
    Syntax(serde_json::Error),
    /// Made for a newer or older proxy.
    #[error("`version` is {found}; this proxy reads version {}", Table::VERSION)]
    Version {
        /// What the document says.
        found: u32,
    },
    /// See the source.
    #[error("provider {name:?}")]
    Provider {
        /// As written.
        name: String,
        /// What is wrong with it.
        source: InvalidProvider,
    },
    /// See the source.
    #[error("route {model:?}")]
    Route {
        /// The model's id, or `*`.
        model: String,
        /// What is wrong with it.
        source: InvalidRoute,
    },
    /// See the source.
    #[error("key {id}")]
    Key {
        /// Its public part.
        id: KeyId,
        /// What is wrong with it.
        source: InvalidKeyRecord,
    },
    /// See the source.
    #[error("issuer {url:?}")]
    Issuer {
        /// As written.
        url: String,
        /// What is wrong with it.
        source: InvalidIssuer,
    },
    /// See the source.
    #[error("settings")]
    Settings(#[source] InvalidSettings),
    /// Which of two would be meant?
    #[error("{kind} {name:?} is there twice")]
    Twice {
        /// `model`, `provider`, `key` or `issuer`.
        kind: &'static str,
        /// The name that is there twice.
        name: String,
    },
}

impl Table {
    /// The version of the schema this proxy reads.
    pub const VERSION: u32 = 1;
    /// The largest document, in bytes.
    pub const BYTES_MAX: usize = 512 * 1024 * 1024;

    /// Reads and checks a JSON document.
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
            return Err(InvalidTable::Version { found: version });
        }
        let providers = check_providers(providers)?;
        let routes = routes
            .into_iter()
            .map(|route| check_route(route, &providers))
            .collect::<Result<Vec<_>, _>>()?;
        refuse_duplicate_models(&routes)?;
        Ok(Self {
            revision,
            routes,
            keys: check_keys(keys)?,
            issuers: check_issuers(issuers)?,
            settings: settings.try_into().map_err(InvalidTable::Settings)?,
        })
    }
}

fn check_providers(
    documents: Vec<document::Provider>,
) -> Result<HashMap<String, Arc<Provider>>, InvalidTable> {
    let mut providers = HashMap::with_capacity(documents.len());
    for document in documents {
        let name = document.name.clone();
        let provider = Provider::try_from(document)
            .map_err(|source| InvalidTable::Provider { name: name.clone(), source })?;
        if providers.insert(name.clone(), Arc::new(provider)).is_some() {
            return Err(InvalidTable::Twice { kind: "provider", name });
        }
    }
    Ok(providers)
}

fn check_route(
    document: document::Route,
    providers: &HashMap<String, Arc<Provider>>,
) -> Result<Route, InvalidTable> {
    let model = document.model.as_ref().map_or_else(|| "*".to_owned(), ModelId::to_string);
    Route::check(document, providers).map_err(|source| InvalidTable::Route { model, source })
}

/// A served model may have the id of a provider's model, and wins; two of one kind may not.
fn refuse_duplicate_models(routes: &[Route]) -> Result<(), InvalidTable> {
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
                return Err(InvalidTable::Twice { kind: "model", name: name.to_owned() });
            }
        }
    }
    Ok(())
}

fn check_keys(documents: Vec<document::Key>) -> Result<Vec<KeyRecord>, InvalidTable> {
    let mut seen = HashSet::with_capacity(documents.len());
    let mut keys = Vec::with_capacity(documents.len());
    for document in documents {
        let id = document.id;
        if !seen.insert(id) {
            return Err(InvalidTable::Twice { kind: "key", name: id.to_string() });
        }
        let key =
            KeyRecord::try_from(document).map_err(|source| InvalidTable::Key { id, source })?;
        keys.push(key);
    }
    Ok(keys)
}

fn check_issuers(documents: Vec<document::Issuer>) -> Result<Vec<Issuer>, InvalidTable> {
    let mut issuers = Vec::<Issuer>::with_capacity(documents.len());
    for document in documents {
        let url = document.issuer.clone();
        if issuers.iter().any(|issuer| issuer.url == url) {
            return Err(InvalidTable::Twice { kind: "issuer", name: url });
        }
        let issuer =
            Issuer::try_from(document).map_err(|source| InvalidTable::Issuer { url, source })?;
        issuers.push(issuer);
    }
    Ok(issuers)
}

#[cfg(test)]
mod tests;
