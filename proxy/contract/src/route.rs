//! A model's names and where it is served.

use crate::{
    Access, Credential, CredentialHeader, InvalidAccess, InvalidProvider, InvalidTimeouts, ModelId,
    Provider, ResourceName, Timeouts, document, provider::check_url,
};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc};
use url::Url;

/// A model and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The custom resource that declares it, if one does.
    pub resource: Option<ResourceName>,
    /// Which `model` of a request it serves.
    pub matches: RouteMatch,
    /// Who may use it.
    pub access: Access,
    /// Where it may be asked for.
    pub entries: Entries,
    /// Where it is served.
    pub upstream: Upstream,
    /// How much of it one caller, and all together, may take.
    pub limits: Limits,
}

/// The entries at which a route may be asked for. At the others it does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Entries {
    /// By callers with keys.
    pub external: bool,
    /// By callers with tokens.
    pub internal: bool,
}

impl Entries {
    /// Both.
    pub const ALL: Self = Self { external: true, internal: true };

    /// Whether it is both.
    pub fn is_all(&self) -> bool {
        *self == Self::ALL
    }
}

impl Default for Entries {
    fn default() -> Self {
        Self::ALL
    }
}

/// Which `model` of a request a route serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteMatch {
    /// This id, and these other names of it.
    Model {
        /// The id that is listed, logged and measured.
        id: ModelId,
        /// Other ids that reach it.
        aliases: Vec<ModelId>,
    },
    /// Every model that no other route serves.
    CatchAll,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// Model servers of our own.
    Served(Served),
    /// An external service, and the id of the model there if it differs from ours.
    Provider(Arc<Provider>, Option<ModelId>),
}

/// Model servers of our own, all serving the same model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Where they listen: scheme, host, port. May be empty while the model starts.
    pub endpoints: Vec<Url>,
    /// The id the servers know the model by, when it is not what the client wrote.
    pub model: Option<ModelId>,
    /// What the servers themselves want to see, if anything.
    pub credential: Option<Credential>,
    /// How long to wait for them.
    pub timeouts: Timeouts,
}

/// How much one caller, and all together, may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Limits {
    /// Requests at a time; no limit if `None`.
    pub concurrency: Option<u32>,
}

/// Why a route is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoute {
    /// See the source.
    #[error("`access`")]
    Access(#[from] InvalidAccess),
    /// See the source.
    #[error("`endpoints[{index}]`")]
    Endpoint {
        /// Which one, from 0.
        index: usize,
        /// What is wrong with it.
        source: InvalidProvider,
    },
    /// Requests go to the paths of the API, below nothing.
    #[error("`endpoints[{index}]` must not have a path")]
    EndpointPath {
        /// Which one, from 0.
        index: usize,
    },
    /// See the source.
    #[error("`apiKey`")]
    Credential(#[source] InvalidProvider),
    /// The route names a provider that the document does not declare.
    #[error("`provider` {name:?} is not declared")]
    UnknownProvider {
        /// As written.
        name: String,
    },
    /// Only a provider can be asked for models we do not know.
    #[error("a catch-all route must lead to a provider")]
    CatchAllServed,
    /// Nothing would ever pass.
    #[error("`limits.concurrency` must be at least 1")]
    NoConcurrency,
    /// See the source.
    #[error("`timeouts`")]
    Timeouts(#[from] InvalidTimeouts),
}

impl Limits {
    pub(crate) fn check(document: &document::Limits) -> Result<Self, InvalidRoute> {
        if document.concurrency == Some(0) {
            return Err(InvalidRoute::NoConcurrency);
        }
        Ok(Self { concurrency: document.concurrency })
    }
}

impl Route {
    /// Checks one route of a document against the providers declared beside it.
    pub(crate) fn check(
        document: document::Route,
        providers: &HashMap<String, Arc<Provider>>,
    ) -> Result<Self, InvalidRoute> {
        let document::Route { model, aliases, access, entries, upstream, limits } = document;
        let matches = match model {
            Some(id) => RouteMatch::Model { id, aliases },
            None => RouteMatch::CatchAll,
        };
        let upstream = match upstream {
            document::Upstream::Served(_) if matches == RouteMatch::CatchAll => {
                return Err(InvalidRoute::CatchAllServed);
            }
            document::Upstream::Served(served) => Upstream::Served(served.try_into()?),
            document::Upstream::Provider { name, model } => match providers.get(&name) {
                Some(provider) => Upstream::Provider(Arc::clone(provider), model),
                None => return Err(InvalidRoute::UnknownProvider { name }),
            },
        };
        let access = Access::check(access.groups, access.public)?;
        Ok(Self {
            resource: None,
            matches,
            access,
            entries,
            upstream,
            limits: Limits::check(&limits)?,
        })
    }
}

impl TryFrom<document::Served> for Served {
    type Error = InvalidRoute;

    fn try_from(document: document::Served) -> Result<Self, InvalidRoute> {
        let document::Served { endpoints, model, api_key, timeouts } = document;
        let endpoints = endpoints
            .iter()
            .enumerate()
            .map(|(index, text)| check_endpoint(index, text))
            .collect::<Result<_, _>>()?;
        let credential = api_key
            .map(|secret| Credential::new(CredentialHeader::Authorization, &secret))
            .transpose()
            .map_err(InvalidRoute::Credential)?;
        Ok(Self { endpoints, model, credential, timeouts: timeouts.try_into()? })
    }
}

fn check_endpoint(index: usize, text: &str) -> Result<Url, InvalidRoute> {
    let url = check_url(text).map_err(|source| InvalidRoute::Endpoint { index, source })?;
    if url.path() == "/" { Ok(url) } else { Err(InvalidRoute::EndpointPath { index }) }
}
