//! One address of an upstream.

use super::{
    address_policy::{NoAddress, Reach},
    health::Health,
};
use crate::limit::concurrency::Gauge;
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
/// How long a connection may wait for its next request.
const KEEPALIVE: Duration = Duration::from_secs(55);

/// One address of an upstream.
#[derive(Debug)]
pub struct Endpoint {
    /// Scheme, host and port: in logs.
    pub name: Arc<str>,
    /// The `Host` it is called by.
    pub host: HeaderValue,
    /// What stands before the path of an operation.
    pub prefix: Prefix,
    /// What it wants to see.
    pub credential: Option<Credential>,
    /// What it wants to see beside, instead of what a client sends under that name.
    pub headers: Arc<[(HeaderName, HeaderValue)]>,
    /// How long to wait for it.
    pub timeouts: Timeouts,
    /// How it is doing; shared with the endpoint of the same name in the table before.
    pub state: Arc<State>,
    target: Target,
}

/// What stands before the path of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// The path stays as it is.
    None,
    /// Instead of `/v1`; without a slash at the end.
    InsteadOfV1(Box<str>),
}

/// How an endpoint is doing.
#[derive(Debug, Default)]
pub struct State {
    /// The requests that run there.
    pub running: Gauge,
    /// Whether it takes more.
    pub health: Health,
}

#[derive(Debug)]
struct Target {
    host: Host<String>,
    port: u16,
    tls: bool,
    authorities: Option<Arc<[WrappedX509]>>,
    /// Connections are never lent to an endpoint with other authorities.
    group: u64,
    connect: Duration,
    peer: ArcSwapOption<Resolved>,
}

#[derive(Debug)]
struct Resolved {
    peer: Arc<HttpPeer>,
    until: Option<Instant>,
}

impl Endpoint {
    /// A model server of our own.
    pub fn served(url: &Url, served: &Served, state: Arc<State>) -> Option<Self> {
        Self::new(url, Prefix::None, served.credential.clone(), served.timeouts, None, state)
    }

    /// An external service.
    pub fn provider(provider: &Provider, state: Arc<State>) -> Option<Self> {
        let prefix = match provider.url.path().trim_end_matches('/') {
            "" => Prefix::None,
            path => Prefix::InsteadOfV1(path.into()),
        };
        let (credential, timeouts) = (provider.credential.clone(), provider.timeouts);
        let authorities = provider.authorities.as_ref();
        let endpoint = Self::new(&provider.url, prefix, credential, timeouts, authorities, state)?;
        Some(Self { headers: Arc::clone(&provider.headers), ..endpoint })
    }

    /// `None` for a URL without a host, which no checked table holds.
    fn new(
        url: &Url,
        prefix: Prefix,
        credential: Option<Credential>,
        timeouts: Timeouts,
        authorities: Option<&Authorities>,
        state: Arc<State>,
    ) -> Option<Self> {
        let host = url.host()?.to_owned();
        let port = url.port_or_known_default()?;
        let authority = url.port().map_or_else(|| host.to_string(), |it| format!("{host}:{it}"));
        let mut group = DefaultHasher::new();
        (authorities, url.scheme()).hash(&mut group);
        let target = Target {
            host,
            port,
            tls: url.scheme() == "https",
            authorities: authorities.map(wrap),
            group: group.finish(),
            connect: timeouts.connect,
            peer: ArcSwapOption::empty(),
        };
        Some(Self {
            name: name(url).into(),
            host: HeaderValue::from_str(&authority).ok()?,
            prefix,
            credential,
            headers: Arc::default(),
            timeouts,
            state,
            target,
        })
    }

    /// Whether it is always sent this header.
    pub fn sets(&self, header: &HeaderName) -> bool {
        self.headers.iter().any(|(name, _)| name == header)
    }

    /// Where to connect to. A name is looked up at most once in [`ADDRESS_TTL`]; when it cannot
    /// be looked up, the last address found goes on being used.
    ///
    /// # Errors
    /// If the name was never found, or leads only to where upstreams may not be.
    pub async fn peer(&self, reach: Reach, now: Instant) -> Result<Arc<HttpPeer>, NoAddress> {
        let last = self.target.peer.load_full();
        if let Some(resolved) = &last
            && resolved.until.is_none_or(|until| now < until)
        {
            return Ok(Arc::clone(&resolved.peer));
        }
        match (Box::pin(self.target.resolve(reach)).await, last) {
            (Ok((address, fixed)), _) => {
                let until = (!fixed).then_some(now + ADDRESS_TTL);
                let peer = Arc::new(self.target.peer(address));
                let resolved = Resolved { peer: Arc::clone(&peer), until };
                self.target.peer.store(Some(Arc::new(resolved)));
                Ok(peer)
            }
            (Err(NoAddress::Lookup(_)), Some(last)) => Ok(Arc::clone(&last.peer)),
            (Err(error), _) => Err(error),
        }
    }

    /// The path of an operation at this endpoint.
    pub fn path(&self, path: &str) -> (&str, usize) {
        match &self.prefix {
            Prefix::None => ("", 0),
            Prefix::InsteadOfV1(prefix) if path.starts_with("/v1/") => (prefix, "/v1".len()),
            Prefix::InsteadOfV1(prefix) => (prefix, 0),
        }
    }
}

impl Target {
    async fn resolve(&self, reach: Reach) -> Result<(SocketAddr, bool), NoAddress> {
        let fixed = |address| {
            let address = reach.choose([SocketAddr::new(address, self.port)])?;
            Ok((address, true))
        };
        match &self.host {
            Host::Ipv4(address) => fixed(IpAddr::V4(*address)),
            Host::Ipv6(address) => fixed(IpAddr::V6(*address)),
            Host::Domain(name) => {
                let found = tokio::net::lookup_host((name.as_str(), self.port)).await;
                Ok((reach.choose(found.map_err(NoAddress::Lookup)?)?, false))
            }
        }
    }

    fn peer(&self, address: SocketAddr) -> HttpPeer {
        // Pingora does not verify a certificate when the name is empty. It never is here.
        let server_name = match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let mut peer = HttpPeer::new(address, self.tls, server_name);
        peer.group_key = self.group;
        peer.options.alpn = ALPN::H1;
        peer.options.ca.clone_from(&self.authorities);
        peer.options.total_connection_timeout = Some(self.connect);
        peer.options.idle_timeout = Some(KEEPALIVE);
        peer
    }
}

/// Scheme, host and port.
pub fn name(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The contract has read each of them as X.509 already.
fn wrap(authorities: &Authorities) -> Arc<[WrappedX509]> {
    authorities.certificates().map(|der| WrappedX509::new(der.to_vec(), parse_x509)).collect()
}
