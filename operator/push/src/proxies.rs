//! Who follows, and what each proxy has in force.
//!
//! A proxy that has gone is remembered for a while with what it had: it may still serve, and its
//! next stream is most likely on its way.
//!
//! A proxy has one place. Whose token is one proxy's alone has the place of that name; who merely
//! calls itself so has another, and takes nobody's who is proven.

use crate::{
    authenticate::Who,
    clock,
    in_force::{InForce, InvalidReport, Report},
    limits::Limits,
};
use jiff::Timestamp;
use llm_contract::{
    ResourceName,
    push::{Digest, DocumentHash, Kind, Name, wire},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Names of which it is remembered that something changed; beyond, everything may have.
const CHANGED_MAX: usize = 64 * 1024;

/// All proxies that this replica knows.
#[derive(Debug)]
pub struct Proxies {
    registry: Mutex<Registry>,
    changed: Notify,
    limits: Limits,
}

#[derive(Debug, Default)]
struct Registry {
    proxies: BTreeMap<Identity, Proxy>,
    changed: Changed,
    /// Of the stream that began last.
    stream: u64,
}

/// Who has a place; in the order of the names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    name: Arc<str>,
    /// Whether its token says so.
    is_proven: bool,
}

#[derive(Debug)]
struct Proxy {
    peer: Arc<str>,
    version: String,
    follows: bool,
    since: Timestamp,
    /// Tells this stream from those that it replaced.
    stream: u64,
    replaced: CancellationToken,
    gone: Option<Instant>,
    /// Since when an answer is awaited.
    awaited: Option<Instant>,
    /// The update that was answered last on this stream.
    answered: u64,
    /// Whether this stream has said what is in force; what is known otherwise, an earlier one said.
    reported: bool,
    /// `None` if no stream has said.
    in_force: Option<InForce>,
}

/// Where a document is in force. Lists are in the order of the proxies' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Programmed {
    /// On every proxy.
    Everywhere {
        /// How many there are.
        proxies: usize,
    },
    /// Not on these, which may yet put it in force.
    Lagging(Vec<Arc<str>>),
    /// Not on these, which will not; others may lag.
    Refused(Vec<RefusedBy>),
    /// There is no proxy.
    NoProxies,
}

/// A proxy's refusal of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedBy {
    /// Its name.
    pub proxy: Arc<str>,
    /// For people.
    pub reason: Arc<str>,
}

/// Of which documents something changed: who has them in force, or who refused them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Of these.
    Names(BTreeSet<Name>),
    /// Perhaps of all: a proxy came or went.
    Everything,
}

/// A proxy, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyStatus {
    /// As its token says, or else as it calls itself.
    pub name: Arc<str>,
    /// Who it is, as its token says.
    pub peer: Arc<str>,
    /// Of the program.
    pub version: String,
    /// When its stream began.
    pub since: Timestamp,
    /// Whether the stream is still there.
    pub connected: bool,
    /// Whether it wants updates from this replica.
    pub follows: bool,
    /// Whether it takes too long to answer.
    pub lagging: bool,
    /// The update that it answered last.
    pub answered: u64,
    /// The table in force.
    pub digest: Option<Digest>,
    /// Custom resources of which it has routes in force.
    pub routes: usize,
    /// Documents that it refused.
    pub refused: usize,
}

/// As many proxies as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{max} proxies are connected, and no more may be")]
pub(crate) struct TooManyProxies {
    max: usize,
}

/// A proxy's place, until its stream ends.
pub(crate) struct Place {
    proxies: Arc<Proxies>,
    identity: Identity,
    stream: u64,
    /// Cancelled when another stream takes this place.
    pub(crate) replaced: CancellationToken,
}

impl Proxies {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { registry: Mutex::default(), changed: Notify::new(), limits }
    }

    /// Where the routes `wanted` of this custom resource are in force; `None` asks where it has
    /// none.
    pub fn programmed(&self, resource: &ResourceName, wanted: Option<DocumentHash>) -> Programmed {
        let name = Name::new(Kind::Routes, resource.as_str());
        let refused = self.refused(&name, wanted);
        if !refused.is_empty() {
            return Programmed::Refused(refused);
        }
        let registry = self.registry.lock();
        let lags = |(identity, state): (&Identity, &Proxy)| {
            let in_force = state.in_force.as_ref();
            let has = in_force.is_some_and(|it| it.routes.get(&name.name).copied() == wanted);
            (!has).then(|| Arc::clone(&identity.name))
        };
        let lagging: Vec<_> = registry.proxies.iter().filter_map(lags).collect();
        match registry.proxies.len() {
            0 => Programmed::NoProxies,
            proxies if lagging.is_empty() => Programmed::Everywhere { proxies },
            _ => Programmed::Lagging(lagging),
        }
    }

    /// Who refused this very document, of any kind.
    pub fn refused(&self, name: &Name, document: Option<DocumentHash>) -> Vec<RefusedBy> {
        let refused = |(identity, state): (&Identity, &Proxy)| {
            let refused = state.in_force.as_ref()?.refusals.get(name)?;
            let (proxy, reason) = (Arc::clone(&identity.name), Arc::clone(&refused.reason));
            (refused.hash == document).then_some(RefusedBy { proxy, reason })
        };
        self.registry.lock().proxies.iter().filter_map(refused).collect()
    }

    /// Waits until something changed since the last call, and says of what. For one caller: what
    /// one was told, another is not.
    pub async fn changed(&self) -> Changed {
        loop {
            let notified = self.changed.notified();
            let changed = std::mem::take(&mut self.registry.lock().changed);
            if changed != Changed::default() {
                return changed;
            }
            notified.await;
        }
    }

    /// All proxies, by name.
    pub fn list(&self, now: Instant) -> Vec<ProxyStatus> {
        let registry = self.registry.lock();
        let status = |(identity, proxy): (&Identity, &Proxy)| ProxyStatus {
            name: Arc::clone(&identity.name),
            peer: Arc::clone(&proxy.peer),
            version: proxy.version.clone(),
            since: proxy.since,
            connected: proxy.gone.is_none(),
            follows: proxy.follows,
            lagging: proxy.lags(now, &self.limits),
            answered: proxy.answered,
            digest: proxy.in_force.as_ref().and_then(|it| it.digest),
            routes: proxy.in_force.as_ref().map_or(0, |it| it.routes.len()),
            refused: proxy.in_force.as_ref().map_or(0, |it| it.refusals.len()),
        };
        registry.proxies.iter().map(status).collect()
    }

    /// Gives a stream its place; one of the same proxy loses it.
    pub(crate) fn join(
        self: &Arc<Self>,
        who: &Who,
        hello: &wire::Hello,
    ) -> Result<Place, TooManyProxies> {
        let identity = Identity::of(who, hello);
        let replaced = CancellationToken::new();
        let mut registry = self.registry.lock();
        registry.make_room(&identity, self.limits.proxies)?;
        registry.stream += 1;
        let stream = registry.stream;
        let before = registry.proxies.remove(&identity);
        if let Some(before) = &before {
            before.replaced.cancel();
        }
        let proxy = Proxy {
            peer: Arc::clone(who.name()),
            version: hello.version.clone(),
            follows: hello.follow,
            since: clock::wall(),
            stream,
            replaced: replaced.clone(),
            gone: None,
            awaited: None,
            answered: 0,
            reported: false,
            in_force: before.and_then(|before| before.in_force),
        };
        registry.proxies.insert(identity.clone(), proxy);
        registry.changed = Changed::Everything;
        drop(registry);
        self.changed.notify_one();
        Ok(Place { proxies: Arc::clone(self), identity, stream, replaced })
    }

    /// Forgets proxies that have gone for good.
    pub(crate) fn forget_gone(&self, now: Instant) {
        let mut registry = self.registry.lock();
        let before = registry.proxies.len();
        let grace = self.limits.grace;
        registry.proxies.retain(|_, proxy| {
            proxy.gone.is_none_or(|gone| now.saturating_duration_since(gone) < grace)
        });
        if registry.proxies.len() < before {
            registry.changed = Changed::Everything;
            drop(registry);
            self.changed.notify_one();
        }
    }
}

impl Place {
    pub(crate) fn name(&self) -> &str {
        &self.identity.name
    }

    /// Takes what the proxy says it has in force.
    pub(crate) fn reported(
        &self,
        report: Report,
        sent: impl Fn(&Name) -> Option<DocumentHash>,
    ) -> Result<(), InvalidReport> {
        self.with(|proxy, changed| {
            proxy.answered = proxy.answered.max(report.sequence);
            let in_force = proxy.in_force.get_or_insert_default();
            let names = if std::mem::replace(&mut proxy.reported, true) {
                in_force.make_room(report.refusals.len(), sent);
                in_force.update(report)
            } else {
                in_force.replace(report)
            };
            names.map(|names| changed.add(names))
        })
        .unwrap_or(Ok(()))?;
        self.proxies.changed.notify_one();
        Ok(())
    }

    /// Since when an answer is awaited, if one is.
    pub(crate) fn awaits(&self, since: Option<Instant>) {
        self.with(|proxy, _| proxy.awaited = since);
    }

    /// `None` if another stream has taken the place.
    fn with<T>(&self, act: impl FnOnce(&mut Proxy, &mut Changed) -> T) -> Option<T> {
        let Registry { proxies, changed, .. } = &mut *self.proxies.registry.lock();
        let proxy = proxies.get_mut(&self.identity).filter(|proxy| proxy.stream == self.stream)?;
        Some(act(proxy, changed))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.with(|proxy, changed| {
            (proxy.gone, proxy.awaited) = (Some(clock::now()), None);
            *changed = Changed::Everything;
        });
        self.proxies.changed.notify_one();
    }
}

impl Registry {
    /// Whoever has gone first is forgotten first.
    fn make_room(&mut self, identity: &Identity, max: usize) -> Result<(), TooManyProxies> {
        if self.proxies.len() < max || self.proxies.contains_key(identity) {
            return Ok(());
        }
        let gone = self.proxies.iter().filter_map(|(it, proxy)| Some((proxy.gone?, it)));
        let (_, oldest) = gone.min().ok_or(TooManyProxies { max })?;
        let oldest = oldest.clone();
        self.proxies.remove(&oldest);
        Ok(())
    }
}

impl Identity {
    fn of(who: &Who, hello: &wire::Hello) -> Self {
        match who {
            Who::Proxy(name) => Self { name: Arc::clone(name), is_proven: true },
            Who::Account(_) => Self { name: hello.proxy.as_str().into(), is_proven: false },
        }
    }
}

impl Proxy {
    fn lags(&self, now: Instant, limits: &Limits) -> bool {
        let late = |since| limits.lagging_after < now.saturating_duration_since(since);
        self.awaited.is_some_and(late)
    }
}

impl Default for Changed {
    /// Nothing.
    fn default() -> Self {
        Self::Names(BTreeSet::new())
    }
}

impl Changed {
    fn add(&mut self, mut added: BTreeSet<Name>) {
        let Self::Names(names) = self else { return };
        names.append(&mut added);
        if CHANGED_MAX < names.len() {
            *self = Self::Everything;
        }
    }
}

#[cfg(test)]
mod tests;
