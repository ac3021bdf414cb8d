//! What one proxy has applied and rejected, as it reports.

use llm_contract::{
    InvalidResourceName, ResourceName,
    push::{Digest, DocumentHash, InvalidChange, Kind, Name, wire},
};
use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::Arc,
};

/// Custom resources with routes on one proxy.
const ROUTES_MAX: usize = 20_000;
/// Rejections kept of one proxy.
const REJECTED_MAX: usize = 1000;
/// Longer reasons are cut.
const REASON_CHARS_MAX: usize = 300;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RejectedVersion {
    /// `None` if the proxy had no document of that name.
    pub(crate) hash: Option<DocumentHash>,
    pub(crate) reason: Arc<str>,
}

#[derive(Debug, Default)]
pub(crate) struct ProxyState {
    pub(crate) digest: Option<Digest>,
    pub(crate) routes: HashMap<Arc<str>, DocumentHash>,
    pub(crate) rejected: HashMap<Name, RejectedVersion>,
}

/// A validated report.
#[derive(Debug)]
pub(crate) struct ProxyReport {
    pub(crate) sequence: u64,
    pub(crate) digest: Option<Digest>,
    pub(crate) routes: Vec<(Arc<str>, Option<DocumentHash>)>,
    pub(crate) rejected: Vec<(Name, RejectedVersion)>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidReport {
    #[error(transparent)]
    Wire(#[from] InvalidChange),
    #[error("{name:?} is not the name of a custom resource")]
    Route { name: String, source: InvalidResourceName },
    #[error("more than {ROUTES_MAX} custom resources have routes")]
    TooManyRoutes,
}

impl ProxyReport {
    pub(crate) fn parse(report: wire::Applied) -> Result<Self, InvalidReport> {
        let wire::Applied { sequence, digest, routes, rejected } = report;
        let route = |wire::RouteState { name, hash }| match ResourceName::parse(&name) {
            Ok(_) => Ok((Arc::from(name), DocumentHash::parse(hash))),
            Err(source) => Err(InvalidReport::Route { name, source }),
        };
        let rejection = |wire::RejectedResource { kind, name, hash, reason }| {
            let (name, hash) = (Name::parse(kind, name)?, DocumentHash::parse(hash));
            Ok((name, RejectedVersion { hash, reason: printable(&reason) }))
        };
        Ok(Self {
            sequence,
            digest: Digest::parse(&digest)?,
            routes: routes.into_iter().map(route).collect::<Result<_, _>>()?,
            rejected: rejected.into_iter().map(rejection).collect::<Result<_, InvalidChange>>()?,
        })
    }
}

fn printable(reason: &str) -> Arc<str> {
    let printable = |it: char| if it.is_control() { ' ' } else { it };
    let text: String = reason.chars().take(REASON_CHARS_MAX).map(printable).collect();
    text.into()
}

impl ProxyState {
    /// Applies the first report of a stream, which is complete. Returns what changed.
    pub(crate) fn replace(&mut self, report: ProxyReport) -> Result<BTreeSet<Name>, InvalidReport> {
        let mut new = Self::default();
        new.update(report)?;
        let routes = differing_keys(&self.routes, &new.routes).map(routes_name);
        let rejected = differing_keys(&self.rejected, &new.rejected).cloned();
        let changed = routes.chain(rejected).collect();
        *self = new;
        Ok(changed)
    }

    /// Applies an incremental report. Returns what changed.
    pub(crate) fn update(&mut self, report: ProxyReport) -> Result<BTreeSet<Name>, InvalidReport> {
        let mut changed = BTreeSet::new();
        for (name, hash) in report.routes {
            let before = match hash {
                Some(hash) => self.routes.insert(Arc::clone(&name), hash),
                None => self.routes.remove(&name),
            };
            let name = routes_name(&name);
            let was_rejected = self.rejected.get(&name).is_some_and(|it| it.hash == hash);
            if before != hash || was_rejected {
                self.rejected.remove(&name);
                changed.insert(name);
            }
        }
        if ROUTES_MAX < self.routes.len() {
            return Err(InvalidReport::TooManyRoutes);
        }
        for (name, rejection) in report.rejected {
            let has_room = self.rejected.len() < REJECTED_MAX || self.rejected.contains_key(&name);
            if has_room && self.rejected.get(&name) != Some(&rejection) {
                self.rejected.insert(name.clone(), rejection);
                changed.insert(name);
            }
        }
        self.digest = report.digest;
        Ok(changed)
    }

    /// Removes rejections of documents that are no longer published, if there are too many.
    pub(crate) fn make_room(
        &mut self,
        added: usize,
        published: impl Fn(&Name) -> Option<DocumentHash>,
    ) {
        if REJECTED_MAX < self.rejected.len() + added {
            self.rejected.retain(|name, rejection| published(name) == rejection.hash);
        }
    }
}

fn differing_keys<'a, K: Eq + Hash, V: PartialEq>(
    one: &'a HashMap<K, V>,
    other: &'a HashMap<K, V>,
) -> impl Iterator<Item = &'a K> {
    let changed = one.iter().filter(|(key, value)| other.get(key) != Some(value));
    let added = other.keys().filter(|key| !one.contains_key(key));
    changed.map(|(key, _)| key).chain(added)
}

fn routes_name(name: &Arc<str>) -> Name {
    Name::new(Kind::Routes, Arc::clone(name))
}
