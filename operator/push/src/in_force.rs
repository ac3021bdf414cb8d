//! What one proxy has in force, as its reports say.

use llm_contract::{
    InvalidResourceName, ResourceName,
    push::{Digest, DocumentHash, InvalidChange, Kind, Name, wire},
};
use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::Arc,
};

/// Custom resources of which one proxy may have routes in force.
const ROUTES_MAX: usize = 20_000;
/// Refusals that are remembered of one proxy.
const REFUSALS_MAX: usize = 1000;
/// A reason is cut here.
const REASON_CHARS_MAX: usize = 300;

/// A document that a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Of the document; `None` if the proxy had none of that name.
    pub(crate) hash: Option<DocumentHash>,
    /// For people.
    pub(crate) reason: Arc<str>,
}

/// What one proxy has in force.
#[derive(Debug, Default)]
pub(crate) struct InForce {
    pub(crate) digest: Option<Digest>,
    pub(crate) routes: HashMap<Arc<str>, DocumentHash>,
    pub(crate) refusals: HashMap<Name, Refused>,
}

/// A report that was checked.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) sequence: u64,
    pub(crate) digest: Option<Digest>,
    pub(crate) routes: Vec<(Arc<str>, Option<DocumentHash>)>,
    pub(crate) refusals: Vec<(Name, Refused)>,
}

/// Why a report is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidReport {
    #[error(transparent)]
    Wire(#[from] InvalidChange),
    #[error("{name:?} is not the name of a custom resource")]
    Route { name: String, source: InvalidResourceName },
    #[error("more than {ROUTES_MAX} custom resources have routes in force")]
    TooMany,
}

impl Report {
    pub(crate) fn check(report: wire::InForce) -> Result<Self, InvalidReport> {
        let wire::InForce { sequence, digest, routes, refusals } = report;
        let route = |wire::RouteState { name, hash }| match ResourceName::parse(&name) {
            Ok(_) => Ok((Arc::from(name), DocumentHash::parse(hash))),
            Err(source) => Err(InvalidReport::Route { name, source }),
        };
        let refusal = |wire::Refusal { kind, name, hash, reason }| {
            let (name, hash) = (Name::parse(kind, name)?, DocumentHash::parse(hash));
            Ok((name, Refused { hash, reason: readable(&reason) }))
        };
        Ok(Self {
            sequence,
            digest: Digest::parse(&digest)?,
            routes: routes.into_iter().map(route).collect::<Result<_, _>>()?,
            refusals: refusals.into_iter().map(refusal).collect::<Result<_, InvalidChange>>()?,
        })
    }
}

fn readable(reason: &str) -> Arc<str> {
    let readable = |it: char| if it.is_control() { ' ' } else { it };
    let text: String = reason.chars().take(REASON_CHARS_MAX).map(readable).collect();
    text.into()
}

impl InForce {
    /// Takes the first report of a stream, which says all there is. Returns what is other than
    /// before.
    pub(crate) fn replace(&mut self, report: Report) -> Result<BTreeSet<Name>, InvalidReport> {
        let mut now = Self::default();
        now.update(report)?;
        let routes = differing(&self.routes, &now.routes).map(routes_of);
        let refusals = differing(&self.refusals, &now.refusals).cloned();
        let changed = routes.chain(refusals).collect();
        *self = now;
        Ok(changed)
    }

    /// Takes a report of what has changed. Returns what is other than before.
    pub(crate) fn update(&mut self, report: Report) -> Result<BTreeSet<Name>, InvalidReport> {
        let mut changed = BTreeSet::new();
        for (name, hash) in report.routes {
            let before = match hash {
                Some(hash) => self.routes.insert(Arc::clone(&name), hash),
                None => self.routes.remove(&name),
            };
            let name = routes_of(&name);
            let refused = self.refusals.get(&name).is_some_and(|refused| refused.hash == hash);
            if before != hash || refused {
                // What is in force now is not what was refused, or no longer refused.
                self.refusals.remove(&name);
                changed.insert(name);
            }
        }
        if ROUTES_MAX < self.routes.len() {
            return Err(InvalidReport::TooMany);
        }
        for (name, refused) in report.refusals {
            let room = self.refusals.len() < REFUSALS_MAX || self.refusals.contains_key(&name);
            if room && self.refusals.get(&name) != Some(&refused) {
                self.refusals.insert(name.clone(), refused);
                changed.insert(name);
            }
        }
        self.digest = report.digest;
        Ok(changed)
    }

    /// Forgets refusals of documents that are no longer sent, if there are too many.
    pub(crate) fn make_room(&mut self, added: usize, sent: impl Fn(&Name) -> Option<DocumentHash>) {
        if REFUSALS_MAX < self.refusals.len() + added {
            self.refusals.retain(|name, refused| sent(name) == refused.hash);
        }
    }
}

/// The keys of what is not the same in both.
fn differing<'a, K: Eq + Hash, V: PartialEq>(
    one: &'a HashMap<K, V>,
    other: &'a HashMap<K, V>,
) -> impl Iterator<Item = &'a K> {
    let changed = one.iter().filter(|(key, value)| other.get(key) != Some(value));
    let added = other.keys().filter(|key| !one.contains_key(key));
    changed.map(|(key, _)| key).chain(added)
}

fn routes_of(name: &Arc<str>) -> Name {
    Name { kind: Kind::Routes, name: Arc::clone(name) }
}
