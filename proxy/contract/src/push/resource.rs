//! One document of the table, named and checked.

#[cfg(feature = "push")]
use super::wire;
use crate::{
    InvalidIssuer, InvalidKeyRecord, InvalidProvider, InvalidResourceName, InvalidRoute,
    InvalidSettings, Issuer, KeyRecord, Provider, ResourceName, Route, Settings, document,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::HashMap, fmt, sync::Arc};

/// What a document says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// What applies to every route. First in order, as it is needed first.
    Settings,
    /// All issuers.
    Issuers,
    /// The routes of one custom resource.
    Routes,
    /// A key record.
    Key,
}

/// The name of a document.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// What the document says.
    pub kind: Kind,
    /// `namespace/name` for routes, the id for a key, empty for what there is one of.
    pub name: Arc<str>,
}

/// A document that was read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// What applies to every route.
    Settings(Settings),
    /// All issuers.
    Issuers(Vec<Issuer>),
    /// The routes of one custom resource; each names it.
    Routes(Vec<Route>),
    /// A key record.
    Key(Box<KeyRecord>),
}

/// Why a document is refused.
#[derive(Debug, thiserror::Error)]
pub enum InvalidResource {
    /// Not JSON, or not of the schema. What was written there is not repeated: it may be a
    /// credential in the wrong place.
    #[error("not of the schema: {0}")]
    Syntax(Box<str>),
    /// See the source.
    #[error("name")]
    Name(#[from] InvalidResourceName),
    /// See the source.
    #[error("provider")]
    Provider(#[from] InvalidProvider),
    /// See the source.
    #[error("route {model:?}")]
    Route {
        /// The model's id, or `*`.
        model: String,
        /// What is wrong with it.
        source: InvalidRoute,
    },
    /// See the source.
    #[error("key record")]
    Key(#[from] InvalidKeyRecord),
    /// It would be found under a name that is not its own.
    #[error("it holds key {0}")]
    OtherKey(String),
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
    /// For people, and in digests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Issuers => "issuers",
            Self::Routes => "routes",
            Self::Key => "key",
        }
    }

    /// Reads it from the wire.
    #[cfg(feature = "push")]
    pub fn parse(wire: i32) -> Option<Self> {
        match wire::Kind::try_from(wire).ok()? {
            wire::Kind::Unspecified => None,
            wire::Kind::Routes => Some(Self::Routes),
            wire::Kind::Key => Some(Self::Key),
            wire::Kind::Issuers => Some(Self::Issuers),
            wire::Kind::Settings => Some(Self::Settings),
        }
    }

    /// As it is on the wire.
    #[cfg(feature = "push")]
    pub fn to_wire(self) -> wire::Kind {
        match self {
            Self::Settings => wire::Kind::Settings,
            Self::Issuers => wire::Kind::Issuers,
            Self::Routes => wire::Kind::Routes,
            Self::Key => wire::Kind::Key,
        }
    }
}

impl Name {
    /// A name; what it names may not exist.
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
    /// Reads and checks a document.
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
                let issuers: Vec<document::Issuer> = serde_json::from_slice(document)?;
                issuers.into_iter().map(check_issuer).collect::<Result<_, _>>().map(Self::Issuers)
            }
            Kind::Routes => {
                let resource = ResourceName::parse(&name.name)?;
                let routes: document::Routes = serde_json::from_slice(document)?;
                check_routes(&resource, routes).map(Self::Routes)
            }
            Kind::Key => {
                let key: document::Key = serde_json::from_slice(document)?;
                let id = key.id.to_string();
                if *id != *name.name {
                    return Err(InvalidResource::OtherKey(id));
                }
                Ok(Self::Key(Box::new(key.try_into()?)))
            }
        }
    }
}

fn check_issuer(issuer: document::Issuer) -> Result<Issuer, InvalidResource> {
    let url = issuer.issuer.clone();
    Issuer::try_from(issuer).map_err(|source| InvalidResource::Issuer { url, source })
}

fn check_routes(
    resource: &ResourceName,
    document: document::Routes,
) -> Result<Vec<Route>, InvalidResource> {
    let document::Routes { provider, routes } = document;
    let provider = provider.map(Provider::try_from).transpose()?;
    let providers: HashMap<_, _> =
        provider.map(|it| (it.name.clone(), Arc::new(it))).into_iter().collect();
    let check = |route: document::Route| {
        let model = route.model.as_ref().map_or_else(|| "*".to_owned(), ToString::to_string);
        match Route::check(route, &providers) {
            Ok(route) => Ok(Route { resource: Some(resource.clone()), ..route }),
            Err(source) => Err(InvalidResource::Route { model, source }),
        }
    };
    routes.into_iter().map(check).collect()
}

/// A document for people: credentials, values of headers and hashes are replaced.
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
