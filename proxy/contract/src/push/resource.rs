//! One document of the table: its name and its parsed contents.

use crate::{
    InvalidIssuer, InvalidKeyRecord, InvalidProvider, InvalidResourceName, InvalidRoute,
    InvalidSettings, Issuer, KeyRecord, Provider, ResourceName, Route, Settings, document,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::HashMap, fmt, sync::Arc};

/// The kind of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Settings of every route; ordered first, as they apply first.
    Settings,
    /// The list of issuers.
    Issuers,
    /// The routes of one custom resource.
    Routes,
    /// A key record.
    Key,
}

/// The name of a document.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The kind of the document.
    pub kind: Kind,
    /// `namespace/name` of routes, id of a key, otherwise empty.
    pub name: Arc<str>,
}

/// A parsed and validated document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Settings of every route.
    Settings(Settings),
    /// The list of issuers.
    Issuers(Vec<Issuer>),
    /// The routes of one custom resource, which each names.
    Routes(Vec<Route>),
    /// A key record.
    Key(Box<KeyRecord>),
}

/// Why a document is invalid.
#[derive(Debug, thiserror::Error)]
pub enum InvalidResource {
    /// Not JSON, or not of the schema; never repeats a value.
    #[error("not of the schema: {0}")]
    Syntax(Box<str>),
    /// Not the name of a custom resource.
    #[error("name")]
    Name(#[from] InvalidResourceName),
    /// The provider of the routes is invalid.
    #[error("provider")]
    Provider(#[from] InvalidProvider),
    /// The model id of an invalid route, or `*`.
    #[error("route {0:?}")]
    Route(String, #[source] InvalidRoute),
    /// The key record is invalid.
    #[error("key record")]
    Key(#[from] InvalidKeyRecord),
    /// The id of a key under the name of another.
    #[error("it holds key {0}")]
    OtherKey(String),
    /// The URL of an invalid issuer.
    #[error("issuer {0:?}")]
    Issuer(String, #[source] InvalidIssuer),
    /// The settings are invalid.
    #[error("settings")]
    Settings(#[from] InvalidSettings),
}

impl From<serde_json::Error> for InvalidResource {
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        let kinds = ["invalid type", "invalid value", "unknown variant"];
        let kind = kinds.into_iter().find(|kind| text.starts_with(kind));
        let expected = text.rsplit_once(", expected ");
        Self::Syntax(match kind.zip(expected) {
            Some((kind, (_found, expected))) => format!("{kind}, expected {expected}").into(),
            None => text.into(),
        })
    }
}

impl Kind {
    /// The name in texts and digests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Issuers => "issuers",
            Self::Routes => "routes",
            Self::Key => "key",
        }
    }
}

impl Name {
    /// A name, whether or not there is such a document.
    pub fn new(kind: Kind, name: impl Into<Arc<str>>) -> Self {
        Self { kind, name: name.into() }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Settings | Kind::Issuers => f.write_str(self.kind.as_str()),
            Kind::Routes | Kind::Key => write!(f, "{} {}", self.kind.as_str(), self.name),
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

impl Resource {
    /// Parses and validates a document.
    ///
    /// # Errors
    /// [`InvalidResource`] naming the field.
    pub fn parse(name: &Name, document: &[u8]) -> Result<Self, InvalidResource> {
        match name.kind {
            Kind::Settings => {
                let settings: document::Settings = serde_json::from_slice(document)?;
                Ok(Self::Settings(settings.try_into()?))
            }
            Kind::Issuers => {
                let issuers: Vec<Issuer> = serde_json::from_slice(document)?;
                issuers.into_iter().map(parse_issuer).collect::<Result<_, _>>().map(Self::Issuers)
            }
            Kind::Routes => {
                let resource = ResourceName::parse(&name.name)?;
                let routes: document::Routes = serde_json::from_slice(document)?;
                parse_routes(&resource, routes).map(Self::Routes)
            }
            Kind::Key => {
                let key: KeyRecord = serde_json::from_slice(document)?;
                let id = key.id.to_string();
                if *id != *name.name {
                    return Err(InvalidResource::OtherKey(id));
                }
                Ok(Self::Key(Box::new(key.check()?)))
            }
        }
    }
}

pub(crate) fn parse_issuer(issuer: Issuer) -> Result<Issuer, InvalidResource> {
    let url = issuer.issuer.clone();
    issuer.check().map_err(|invalid| InvalidResource::Issuer(url, invalid))
}

pub(crate) fn parse_route(
    route: document::Route,
    providers: &HashMap<String, Arc<Provider>>,
) -> Result<Route, InvalidResource> {
    let model = route.model.as_ref().map_or_else(|| "*".to_owned(), ToString::to_string);
    Route::parse(route, providers).map_err(|invalid| InvalidResource::Route(model, invalid))
}

fn parse_routes(
    resource: &ResourceName,
    document: document::Routes,
) -> Result<Vec<Route>, InvalidResource> {
    let document::Routes { provider, routes } = document;
    let provider = provider.map(Provider::try_from).transpose()?;
    let providers: HashMap<_, _> =
        provider.map(|it| (it.name.clone(), Arc::new(it))).into_iter().collect();
    let parse =
        |route| Ok(Route { resource: Some(resource.clone()), ..parse_route(route, &providers)? });
    routes.into_iter().map(parse).collect()
}

/// A document without credentials, header values and hashes.
///
/// ```
/// use llm_contract::push::redacted;
/// let document = br#"{"provider": {"credential": {"secret": "sk-upstream"}}, "routes": []}"#;
/// assert!(!redacted(document).to_string().contains("sk-upstream"));
/// ```
pub fn redacted(document: &[u8]) -> Value {
    const SECRET_FIELDS: [&str; 4] = ["secret", "apiKey", "hash", "value"];
    fn redact(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if SECRET_FIELDS.contains(&name.as_str()) {
                        *value = Value::from("[redacted]");
                    } else {
                        redact(value);
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(redact),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut value = serde_json::from_slice(document).unwrap_or(Value::from("[not JSON]"));
    redact(&mut value);
    value
}

#[cfg(test)]
mod tests;
