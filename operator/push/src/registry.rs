//! The registered proxies and what each has applied.
//!
//! A disconnected proxy stays registered for a while with its state: it may still serve, and will
//! most likely reconnect.
//!
//! A proxy whose token is its own is registered under the token's name. One that shares its token
//! is registered under the name it calls itself, and cannot replace the former.

use crate::{
    authenticate::PeerIdentity,
    clock,
    limits::PushLimits,
    proxy_state::{InvalidReport, ProxyReport, ProxyState},
    proxy_status::{ChangedDocuments, Programmed, ProxyStatus, RejectedBy},
};
use jiff::Timestamp;
use llm_contract::{
    ResourceName,
    push::{DocumentHash, Kind, Name, wire},
};
use parking_lot::Mutex;
use std::{collections::BTreeMap, mem, sync::Arc, time::Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The proxies that this replica knows.
#[derive(Debug)]
pub struct ProxyRegistry {
    inner: Mutex<Inner>,
    changed: Notify,
    limits: PushLimits,
}

#[derive(Debug, Default)]
struct Inner {
    proxies: BTreeMap<ProxyIdentity, Proxy>,
    changed: ChangedDocuments,
    /// Of the newest stream.
    stream: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ProxyIdentity {
    name: Arc<str>,
    /// Whether the name is from its token.
    is_authenticated: bool,
}

#[derive(Debug)]
struct Proxy {
    peer: Arc<str>,
    version: String,
    follows: bool,
    since: Timestamp,
    /// Distinguishes this stream from those that it superseded.
    stream: u64,
    superseded: CancellationToken,
    disconnected: Option<Instant>,
    /// When the update in flight was sent.
    in_flight_since: Option<Instant>,
    /// Whether this stream has reported; otherwise the state is that of an earlier one.
    has_reported: bool,
    /// `None` before the first report of any stream.
    state: Option<ProxyState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{max} proxies are connected, which is the limit")]
pub(crate) struct TooManyProxies {
    max: usize,
}

/// The entry of a connected proxy; marks it as disconnected when dropped.
pub(crate) struct Registration {
    registry: Arc<ProxyRegistry>,
    identity: ProxyIdentity,
    stream: u64,
    /// Cancelled when another stream of the same proxy is registered.
    pub(crate) superseded: CancellationToken,
}

impl ProxyRegistry {
    pub(crate) fn new(limits: PushLimits) -> Self {
        Self { inner: Mutex::default(), changed: Notify::new(), limits }
    }

    /// Where this version of the routes of a custom resource is applied; with `None`, where it has
    /// no routes.
    pub fn programmed(&self, resource: &ResourceName, wanted: Option<DocumentHash>) -> Programmed {
        let name = Name::new(Kind::Routes, resource.as_str());
        let (mut rejected, mut lagging) = (Vec::new(), Vec::new());
        let inner = self.inner.lock();
        for (identity, proxy) in &inner.proxies {
            let (proxy, state) = (Arc::clone(&identity.name), proxy.state.as_ref());
            let rejection = state.and_then(|it| it.rejected.get(&name));
            if let Some(rejection) = rejection.filter(|it| it.hash == wanted) {
                rejected.push(RejectedBy { proxy, reason: Arc::clone(&rejection.reason) });
            } else if state.is_none_or(|it| it.routes.get(&name.name).copied() != wanted) {
                lagging.push(proxy);
            }
        }
        match inner.proxies.len() {
            0 => Programmed::NoProxies,
            _ if !rejected.is_empty() => Programmed::Rejected(rejected),
            _ if !lagging.is_empty() => Programmed::Lagging(lagging),
            proxies => Programmed::Everywhere { proxies },
        }
    }

    /// Waits for changes since the last call and takes them. For a single consumer.
    pub async fn changed(&self) -> ChangedDocuments {
        loop {
            let notified = self.changed.notified();
            let changed = mem::take(&mut self.inner.lock().changed);
            if changed != ChangedDocuments::default() {
                return changed;
            }
            notified.await;
        }
    }

    /// All proxies, ordered by name.
    pub fn list(&self, now: Instant) -> Vec<ProxyStatus> {
        let lagging_after = self.limits.lagging_after;
        let is_late = |since| lagging_after < now.saturating_duration_since(since);
        let status = |(identity, proxy): (&ProxyIdentity, &Proxy)| {
            let state = proxy.state.as_ref();
            ProxyStatus {
                name: Arc::clone(&identity.name),
                peer: Arc::clone(&proxy.peer),
                version: proxy.version.clone(),
                since: proxy.since,
                connected: proxy.disconnected.is_none(),
                follows: proxy.follows,
                lagging: proxy.in_flight_since.is_some_and(is_late),
                digest: state.and_then(|it| it.digest),
                routes: state.map_or(0, |it| it.routes.len()),
                rejected: state.map_or(0, |it| it.rejected.len()),
            }
        };
        self.inner.lock().proxies.iter().map(status).collect()
    }

    /// Registers a stream; supersedes an older one of the same proxy.
    pub(crate) fn register(
        self: &Arc<Self>,
        peer: &PeerIdentity,
        hello: &wire::Hello,
    ) -> Result<Registration, TooManyProxies> {
        let identity = ProxyIdentity::new(peer, hello);
        let superseded = CancellationToken::new();
        let mut inner = self.inner.lock();
        inner.make_room(&identity, self.limits.proxies)?;
        inner.stream += 1;
        let stream = inner.stream;
        let before = inner.proxies.remove(&identity);
        if let Some(before) = &before {
            before.superseded.cancel();
        }
        let proxy = Proxy {
            peer: Arc::clone(peer.name()),
            version: hello.version.clone(),
            follows: hello.follow,
            since: clock::wall(),
            stream,
            superseded: superseded.clone(),
            disconnected: None,
            in_flight_since: None,
            has_reported: false,
            state: before.and_then(|before| before.state),
        };
        inner.proxies.insert(identity.clone(), proxy);
        inner.changed = ChangedDocuments::All;
        drop(inner);
        self.changed.notify_one();
        Ok(Registration { registry: Arc::clone(self), identity, stream, superseded })
    }

    /// Removes proxies that have been disconnected for longer than the grace period.
    pub(crate) fn remove_expired(&self, now: Instant) {
        let mut inner = self.inner.lock();
        let before = inner.proxies.len();
        let grace = self.limits.disconnect_grace;
        let is_within = |since| now.saturating_duration_since(since) < grace;
        inner.proxies.retain(|_, proxy| proxy.disconnected.is_none_or(is_within));
        if inner.proxies.len() < before {
            inner.changed = ChangedDocuments::All;
            drop(inner);
            self.changed.notify_one();
        }
    }
}

impl Registration {
    pub(crate) fn name(&self) -> &str {
        &self.identity.name
    }

    pub(crate) fn apply_report(
        &self,
        report: ProxyReport,
        published: impl Fn(&Name) -> Option<DocumentHash>,
    ) -> Result<(), InvalidReport> {
        let update = |proxy: &mut Proxy| {
            let state = proxy.state.get_or_insert_default();
            if mem::replace(&mut proxy.has_reported, true) {
                state.make_room(report.rejected.len(), published);
                state.update(report)
            } else {
                state.replace(report)
            }
        };
        self.with(|proxy, changed| update(proxy).map(|names| changed.extend(names)))
            .unwrap_or(Ok(()))?;
        self.registry.changed.notify_one();
        Ok(())
    }

    pub(crate) fn set_in_flight_since(&self, since: Option<Instant>) {
        self.with(|proxy, _| proxy.in_flight_since = since);
    }

    /// `None` if the stream is superseded.
    fn with<T>(&self, act: impl FnOnce(&mut Proxy, &mut ChangedDocuments) -> T) -> Option<T> {
        let Inner { proxies, changed, .. } = &mut *self.registry.inner.lock();
        let proxy = proxies.get_mut(&self.identity).filter(|proxy| proxy.stream == self.stream)?;
        Some(act(proxy, changed))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.with(|proxy, changed| {
            (proxy.disconnected, proxy.in_flight_since) = (Some(clock::now()), None);
            *changed = ChangedDocuments::All;
        });
        self.registry.changed.notify_one();
    }
}

impl Inner {
    /// Evicts the proxy that has been disconnected for longest.
    fn make_room(&mut self, identity: &ProxyIdentity, max: usize) -> Result<(), TooManyProxies> {
        if self.proxies.len() < max || self.proxies.contains_key(identity) {
            return Ok(());
        }
        let disconnected = self.proxies.iter();
        let disconnected = disconnected.filter_map(|(it, proxy)| Some((proxy.disconnected?, it)));
        let (_, oldest) = disconnected.min().ok_or(TooManyProxies { max })?;
        let oldest = oldest.clone();
        self.proxies.remove(&oldest);
        Ok(())
    }
}

impl ProxyIdentity {
    fn new(peer: &PeerIdentity, hello: &wire::Hello) -> Self {
        match peer {
            PeerIdentity::Proxy(name) => Self { name: Arc::clone(name), is_authenticated: true },
            PeerIdentity::Account(_) => {
                Self { name: hello.proxy.as_str().into(), is_authenticated: false }
            }
        }
    }
}

#[cfg(test)]
mod tests;
