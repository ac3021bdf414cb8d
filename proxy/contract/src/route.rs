//! Routes: model ids and the upstreams that serve them.

use crate::{
    Access, Credential, CredentialHeader, InvalidAccess, InvalidProvider, InvalidTimeouts, ModelId,
    Provider, ResourceName, Timeouts, document, provider::parse_url,
};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc};
use url::Url;

/// Model ids, who may use them, and their upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The custom resource that declares it.
    pub resource: Option<ResourceName>,
    /// The model ids it matches.
    pub matches: RouteMatch,
    /// Who may use it.
    pub access: Access,
    /// The entries where it exists.
    pub entries: Entries,
    /// Serves the model.
    pub upstream: Upstream,
    /// Limits of all requests to it.
    pub limits: RequestLimits,
}

/// The entries where a route exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Entries {
    /// For callers with keys.
    pub external: bool,
    /// For callers with tokens.
    pub internal: bool,
}

impl Entries {
    /// Both entries.
    pub const ALL: Self = Self { external: true, internal: true };

    /// Whether it is [`Entries::ALL`].
    pub fn is_all(&self) -> bool {
        *self == Self::ALL
    }
}

impl Default for Entries {
    fn default() -> Self {
        Self::ALL
    }
}

/// The model ids that a route matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteMatch {
    /// An id and its aliases.
    Model {
        /// The id in lists, logs and metrics.
        id: ModelId,
        /// Alternative ids.
        aliases: Vec<ModelId>,
    },
    /// Every id that no other route matches.
    CatchAll,
}

/// The upstream of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// Model servers in the cluster.
    Served(Served),
    /// A provider, and its id of the model if it differs.
    Provider(Arc<Provider>, Option<ModelId>),
}

/// Model servers that all serve the same model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Scheme, host and port of each; empty while none is ready.
    pub endpoints: Vec<Url>,
    /// The servers' id of the model; the client's if absent.
    pub model: Option<ModelId>,
    /// Authenticates us to the servers.
    pub credential: Option<Credential>,
    /// Timeouts of their requests.
    pub timeouts: Timeouts,
}

/// Limits of the requests of a key, or to a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RequestLimits {
    /// Concurrent requests, at least 1; unlimited if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

/// Why a route is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoute {
    /// Not exactly one of `groups` and `public: true`.
    #[error("`access`")]
    Access(#[from] InvalidAccess),
    /// The index of an endpoint that is not a URL of an upstream.
    #[error("`endpoints[{0}]`")]
    Endpoint(usize, #[source] InvalidProvider),
    /// The index of an endpoint with a path.
    #[error("`endpoints[{0}]` must not have a path")]
    EndpointPath(usize),
    /// Not a header value.
    #[error("`apiKey`")]
    Credential(#[source] InvalidProvider),
    /// The name of a provider that the document does not declare.
    #[error("`provider` {0:?} is not declared")]
    UnknownProvider(String),
    /// Only a provider can serve models that no route names.
    #[error("a catch-all route must lead to a provider")]
    CatchAllServed,
    /// A limit of zero.
    #[error("`limits.concurrency` must be at least 1")]
    ZeroConcurrency,
    /// A timeout out of bounds.
    #[error("`timeouts`")]
    Timeouts(#[from] InvalidTimeouts),
}

impl RequestLimits {
    pub(crate) fn check(self) -> Result<Self, InvalidRoute> {
        if self.concurrency == Some(0) { Err(InvalidRoute::ZeroConcurrency) } else { Ok(self) }
    }
}

impl Route {
    /// Parses a route of a document that declares these providers.
    pub(crate) fn parse(
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
                None => return Err(InvalidRoute::UnknownProvider(name)),
            },
        };
        let access = Access::check(access.groups, access.public)?;
        Ok(Self { resource: None, matches, access, entries, upstream, limits: limits.check()? })
    }
}

impl TryFrom<document::Served> for Served {
    type Error = InvalidRoute;

    fn try_from(document: document::Served) -> Result<Self, InvalidRoute> {
        let document::Served { endpoints, model, api_key, timeouts } = document;
        let endpoints = endpoints
            .iter()
            .enumerate()
            .map(|(index, text)| parse_endpoint(index, text))
            .collect::<Result<_, _>>()?;
        let credential = api_key
            .map(|secret| Credential::new(CredentialHeader::Authorization, &secret))
            .transpose()
            .map_err(InvalidRoute::Credential)?;
        Ok(Self { endpoints, model, credential, timeouts: timeouts.check()? })
    }
}

fn parse_endpoint(index: usize, text: &str) -> Result<Url, InvalidRoute> {
    let url = parse_url(text).map_err(|invalid| InvalidRoute::Endpoint(index, invalid))?;
    if url.path() == "/" { Ok(url) } else { Err(InvalidRoute::EndpointPath(index)) }
}
