//! One address of an upstream.

use super::{
    address_policy::{AddressPolicy, ResolveError},
    health::Health,
};
use crate::limit::concurrency::ConcurrencyLimit;
use arc_swap::ArcSwapOption;
use http::{HeaderName, HeaderValue};
use llm_contract::{Authorities, Credential, Provider, Served, Timeouts};
use pingora_core::{
    listeners::ALPN,
    upstreams::peer::HttpPeer,
    utils::tls::{WrappedX509, parse_x509},
};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use url::{Host, Url};

/// How long an address found by name is used before the name is looked up again.
const ADDRESS_TTL: Duration = Duration::from_secs(30);
/// How long a pooled connection may wait for its next request.
const KEEPALIVE: Duration = Duration::from_secs(55);

#[derive(Debug)]
pub struct Endpoint {
    /// Scheme, host and port: in logs.
    pub name: Arc<str>,
    /// The `Host` header.
    pub host: HeaderValue,
    /// Replaces `/v1` in paths; without a trailing slash.
    prefix: Option<Box<str>>,
    pub credential: Option<Credential>,
    /// Sent instead of a client's headers of the same names.
    pub headers: Arc<[(HeaderName, HeaderValue)]>,
    pub timeouts: Timeouts,
    /// Shared with the endpoint of the same name in the previous table.
    pub state: Arc<EndpointState>,
    server: Host<String>,
    port: u16,
    tls: bool,
    authorities: Option<Arc<[WrappedX509]>>,
    /// Connections are never lent to an endpoint with other authorities.
    connection_group: u64,
    resolved: ArcSwapOption<ResolvedPeer>,
}

#[derive(Debug, Default)]
pub struct EndpointState {
    pub running: ConcurrencyLimit,
    pub health: Health,
}

#[derive(Debug)]
struct ResolvedPeer {
    peer: Arc<HttpPeer>,
    /// `None` for an address that was not looked up.
    expires_at: Option<Instant>,
}

impl Endpoint {
    pub fn served(url: &Url, served: &Served, state: Arc<EndpointState>) -> Option<Self> {
        Self::new(url, served.credential.clone(), served.timeouts, None, state)
    }

    pub fn provider(provider: &Provider, state: Arc<EndpointState>) -> Option<Self> {
        let (credential, timeouts) = (provider.credential.clone(), provider.timeouts);
        let authorities = provider.authorities.as_ref();
        let path = provider.url.path().trim_end_matches('/');
        Some(Self {
            prefix: (!path.is_empty()).then(|| path.into()),
            headers: Arc::clone(&provider.headers),
            ..Self::new(&provider.url, credential, timeouts, authorities, state)?
        })
    }

    /// `None` for a URL without a host, which no checked table holds.
    fn new(
        url: &Url,
        credential: Option<Credential>,
        timeouts: Timeouts,
        authorities: Option<&Authorities>,
        state: Arc<EndpointState>,
    ) -> Option<Self> {
        let server = url.host()?.to_owned();
        let host = url.port().map_or_else(|| server.to_string(), |it| format!("{server}:{it}"));
        let mut connection_group = DefaultHasher::new();
        (authorities, url.scheme()).hash(&mut connection_group);
        Some(Self {
            name: name(url).into(),
            host: HeaderValue::from_str(&host).ok()?,
            prefix: None,
            credential,
            headers: Arc::default(),
            timeouts,
            state,
            server,
            port: url.port_or_known_default()?,
            tls: url.scheme() == "https",
            authorities: authorities.map(wrap),
            connection_group: connection_group.finish(),
            resolved: ArcSwapOption::empty(),
        })
    }

    /// Whether a client's header of this name is replaced.
    pub fn overrides(&self, header: &HeaderName) -> bool {
        self.headers.iter().any(|(name, _)| name == header)
    }

    /// Where to connect to. A name is looked up at most once in [`ADDRESS_TTL`]; when the lookup
    /// fails, the last address found stays in use.
    pub async fn peer(
        &self,
        policy: AddressPolicy,
        now: Instant,
    ) -> Result<Arc<HttpPeer>, ResolveError> {
        let last = self.resolved.load_full();
        if let Some(resolved) = &last
            && resolved.expires_at.is_none_or(|at| now < at)
        {
            return Ok(Arc::clone(&resolved.peer));
        }
        match (Box::pin(self.resolve(policy)).await, last) {
            (Ok((address, is_fixed)), _) => {
                let peer = Arc::new(self.peer_at(address));
                let expires_at = (!is_fixed).then_some(now + ADDRESS_TTL);
                let resolved = ResolvedPeer { peer: Arc::clone(&peer), expires_at };
                self.resolved.store(Some(Arc::new(resolved)));
                Ok(peer)
            }
            (Err(ResolveError::Lookup(_)), Some(last)) => Ok(Arc::clone(&last.peer)),
            (Err(error), _) => Err(error),
        }
    }

    /// The path of an operation at this endpoint, in two parts.
    pub fn path<'a>(&'a self, path: &'a str) -> (&'a str, &'a str) {
        match &self.prefix {
            None => ("", path),
            Some(prefix) => match path.strip_prefix("/v1") {
                Some(rest) if rest.starts_with('/') => (prefix, rest),
                Some(_) | None => (prefix, path),
            },
        }
    }

    /// An address, and whether it is fixed: written in the URL, not looked up.
    async fn resolve(&self, policy: AddressPolicy) -> Result<(SocketAddr, bool), ResolveError> {
        let address: IpAddr = match &self.server {
            Host::Ipv4(address) => (*address).into(),
            Host::Ipv6(address) => (*address).into(),
            Host::Domain(name) => {
                let found = tokio::net::lookup_host((name.as_str(), self.port)).await;
                return Ok((policy.choose(found.map_err(ResolveError::Lookup)?)?, false));
            }
        };
        Ok((policy.choose([SocketAddr::new(address, self.port)])?, true))
    }

    fn peer_at(&self, address: SocketAddr) -> HttpPeer {
        // Pingora does not verify a certificate when the name is empty. It never is here.
        let server_name = match &self.server {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let mut peer = HttpPeer::new(address, self.tls, server_name);
        peer.group_key = self.connection_group;
        peer.options.alpn = ALPN::H1;
        peer.options.ca.clone_from(&self.authorities);
        peer.options.total_connection_timeout = Some(self.timeouts.connect);
        peer.options.idle_timeout = Some(KEEPALIVE);
        peer
    }
}

/// Scheme, host and port.
pub fn name(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The contract has parsed each of them as X.509 already.
fn wrap(authorities: &Authorities) -> Arc<[WrappedX509]> {
    authorities.certificates().map(|der| WrappedX509::new(der.to_vec(), parse_x509)).collect()
}
