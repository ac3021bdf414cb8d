//! This proxy's replica of the operator's documents, and which of them are applied.
//!
//! The digest covers all received documents, including rejected ones: so both sides compute the
//! same one, and a rejected document is not sent again and again. A rejected document leaves the
//! last good one applied, unless it is a key.

use super::reassembly::{InvalidUpdate, TableUpdate};
use crate::tables::RejectedRoutes;
use bytes::Bytes;
use llm_contract::{
    Chain, ResourceName,
    push::{Change, Digest, DocumentHash, Documents, Kind, Name, Resource, wire},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

/// Longer reasons are cut.
const REASON_CHARS_MAX: usize = 300;
/// Rejections in one report.
const REJECTED_MAX: usize = 1000;

/// New versions of resources; `None` for removed ones.
pub type Changes = Vec<(Name, Option<Resource>)>;

pub struct TableReplica {
    documents: Documents,
    rejected: BTreeMap<Name, Rejected>,
    bytes_max: usize,
}

/// A resource that could not be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedDocument {
    pub name: Name,
    pub reason: String,
    /// Whether the last good version stays applied.
    pub keeps_last: bool,
}

#[derive(Debug)]
pub struct UpdateOutcome {
    /// The update, relative to the former replica.
    pub update: TableUpdate,
    /// The acknowledgement.
    pub report: wire::Applied,
    /// Documents of the update that were rejected, with reasons.
    pub rejected: Vec<(Name, Arc<str>)>,
}

struct Rejected {
    reason: Arc<str>,
    /// Whether the document is valid, and is applied as soon as others allow it.
    is_pending: bool,
    /// Applied instead.
    last_good: Option<Document>,
}

#[derive(Clone)]
struct Document {
    text: Bytes,
    hash: DocumentHash,
}

type Versions = BTreeMap<Name, Document>;

impl From<RejectedRoutes> for RejectedDocument {
    fn from(RejectedRoutes { name, conflict, keeps_last }: RejectedRoutes) -> Self {
        Self { name, reason: conflict.to_string(), keeps_last }
    }
}

impl TableReplica {
    pub fn new(bytes_max: usize) -> Self {
        Self { documents: Documents::default(), rejected: BTreeMap::new(), bytes_max }
    }

    pub fn digest(&self) -> Digest {
        self.documents.digest()
    }

    /// Applies an update; an error changes nothing. `apply` returns the resources it rejects, of
    /// this update or earlier ones.
    pub fn update(
        &mut self,
        update: TableUpdate,
        apply: impl FnOnce(Changes) -> Vec<RejectedDocument>,
    ) -> Result<UpdateOutcome, InvalidUpdate> {
        let (sequence, digest, base) = (update.sequence, update.digest, self.digest());
        let (change, before) = self.update_documents(update)?;
        let (changes, invalid) = self.parse(&change);
        let changed = self.reconcile_rejections(&change, before, invalid, apply(changes));
        let names = change.upserts.iter().map(|(name, _)| name);
        let rejected = names.filter_map(|name| Some((name.clone(), self.rejected.get(name)?)));
        let rejected: Vec<_> = rejected.map(|(name, it)| (name, Arc::clone(&it.reason))).collect();
        let report = wire::Applied {
            sequence,
            digest: digest.to_vec(),
            routes: changed.iter().filter_map(|name| self.route_state(name)).collect(),
            rejected: self.rejected_resources(rejected.iter().map(|(name, why)| (name, why))),
        };
        let update = TableUpdate { sequence, from: Some(base), digest, change };
        Ok(UpdateOutcome { update, report, rejected })
    }

    /// Returns the effective change, and the former versions of its documents.
    fn update_documents(
        &mut self,
        update: TableUpdate,
    ) -> Result<(Change, Versions), InvalidUpdate> {
        let TableUpdate { sequence: _, from, digest, change } = update;
        let ours = self.digest();
        let Some(from) = from else {
            let mut snapshot = Documents::default();
            snapshot.apply(change);
            self.verify(&snapshot, digest)?;
            let change = snapshot.since(&self.documents);
            let before = self.versions_before(&change);
            self.documents = snapshot;
            return Ok((change, before));
        };
        if from != ours {
            return Err(InvalidUpdate::OtherBase { from, ours });
        }
        let change = deduplicate(change);
        let before = self.versions_before(&change);
        self.documents.apply(change.clone());
        if let Err(invalid) = self.verify(&self.documents, digest) {
            self.documents.apply(inverse(&change, before));
            return Err(invalid);
        }
        Ok((change, before))
    }

    fn verify(&self, documents: &Documents, expected: Digest) -> Result<(), InvalidUpdate> {
        let (found, bytes_max) = (documents.digest(), self.bytes_max);
        if found != expected {
            return Err(InvalidUpdate::OtherDigest { expected, found });
        }
        if bytes_max < documents.bytes() {
            return Err(InvalidUpdate::TooLarge { bytes_max });
        }
        Ok(())
    }

    fn versions_before(&self, change: &Change) -> Versions {
        let document = |name: &Name| {
            let (text, hash) = (self.documents.get(name)?.clone(), self.documents.hash(name)?);
            Some((name.clone(), Document { text, hash }))
        };
        names(change).filter_map(document).collect()
    }

    /// Parses the documents of a change; the second are the reasons of those that do not parse.
    fn parse(&self, change: &Change) -> (Changes, BTreeMap<Name, String>) {
        let mut changes: Changes =
            change.removals.iter().map(|name| (name.clone(), None)).collect();
        let mut invalid = BTreeMap::new();
        for (name, document) in &change.upserts {
            match Resource::parse(name, document) {
                Ok(resource) => changes.push((name.clone(), Some(resource))),
                Err(error) => {
                    invalid.insert(name.clone(), Chain(&error).to_string());
                    // An invalid record may be of a key that was suspended or restricted: the last
                    // good one could admit a caller that it excludes. And a pending version must
                    // not be applied later, when it is no longer the current one.
                    let is_pending = self.rejected.get(name).is_some_and(|it| it.is_pending);
                    if name.kind == Kind::Key || is_pending {
                        changes.push((name.clone(), None));
                    }
                }
            }
        }
        (changes, invalid)
    }

    /// Updates the rejections; returns the resources of which another version may be applied.
    fn reconcile_rejections(
        &mut self,
        change: &Change,
        mut before: Versions,
        mut invalid: BTreeMap<Name, String>,
        rejected: Vec<RejectedDocument>,
    ) -> BTreeSet<Name> {
        let mut changed: BTreeSet<Name> = names(change).cloned().collect();
        let mut rejected: BTreeMap<Name, RejectedDocument> =
            rejected.into_iter().map(|it| (it.name.clone(), it)).collect();
        for (name, mut old) in mem::take(&mut self.rejected) {
            if changed.contains(&name) {
                // The version before was not applied: its last good one was.
                before.remove(&name);
                let is_dropped = old.is_pending && invalid.contains_key(&name);
                let last_good = old.last_good.filter(|_| !is_dropped);
                before.extend(last_good.map(|last_good| (name, last_good)));
                continue;
            }
            if old.is_pending {
                let Some(still) = rejected.remove(&name) else {
                    changed.insert(name);
                    continue;
                };
                if !still.keeps_last && old.last_good.take().is_some() {
                    changed.insert(name.clone());
                }
                old.reason = cut(&still.reason);
            }
            self.rejected.insert(name, old);
        }
        for (name, _) in &change.upserts {
            let (reason, is_pending, keeps_last) =
                match (invalid.remove(name), rejected.remove(name)) {
                    (Some(reason), _) => (reason, false, name.kind != Kind::Key),
                    (None, Some(it)) => (it.reason, name.kind == Kind::Routes, it.keeps_last),
                    (None, None) => continue,
                };
            let last_good = before.remove(name).filter(|_| keeps_last);
            let rejection = Rejected { reason: cut(&reason), is_pending, last_good };
            self.rejected.insert(name.clone(), rejection);
        }
        changed
    }

    /// Everything applied and rejected: the first report of a stream.
    pub fn full_report(&self) -> wire::Applied {
        wire::Applied {
            sequence: 0,
            digest: self.digest().to_vec(),
            routes: self.documents.iter().filter_map(|(name, _)| self.route_state(name)).collect(),
            rejected: self.rejected_resources(self.rejected()),
        }
    }

    /// `None` unless the name is that of a custom resource: the operator would end the stream.
    fn route_state(&self, name: &Name) -> Option<wire::RouteState> {
        if name.kind != Kind::Routes || ResourceName::parse(&name.name).is_err() {
            return None;
        }
        let hash = match self.rejected.get(name) {
            Some(rejection) => rejection.last_good.as_ref().map(|it| it.hash),
            None => self.documents.hash(name),
        };
        Some(wire::RouteState { name: name.name.to_string(), hash: to_wire(hash) })
    }

    fn rejected_resources<'a>(
        &self,
        rejected: impl Iterator<Item = (&'a Name, &'a Arc<str>)>,
    ) -> Vec<wire::RejectedResource> {
        let resource = |(name, reason): (&Name, &Arc<str>)| wire::RejectedResource {
            kind: name.kind.to_wire().into(),
            name: name.name.to_string(),
            hash: to_wire(self.documents.hash(name)),
            reason: reason.to_string(),
        };
        rejected.take(REJECTED_MAX).map(resource).collect()
    }

    /// The applied documents, ordered by name.
    pub fn applied(&self) -> impl Iterator<Item = (Name, Bytes)> {
        self.documents.iter().filter_map(|(name, text)| match self.rejected.get(name) {
            Some(rejection) => Some((name.clone(), rejection.last_good.as_ref()?.text.clone())),
            None => Some((name.clone(), text.clone())),
        })
    }

    pub fn is_applied(&self, name: &Name) -> bool {
        match self.rejected.get(name) {
            Some(rejection) => rejection.last_good.is_some(),
            None => self.documents.get(name).is_some(),
        }
    }

    /// The rejected documents with reasons.
    pub fn rejected(&self) -> impl ExactSizeIterator<Item = (&Name, &Arc<str>)> {
        self.rejected.iter().map(|(name, rejection)| (name, &rejection.reason))
    }

    /// Updates that reproduce this replica: the applied documents, then the rejected ones.
    pub fn replay(&self) -> Vec<TableUpdate> {
        let mut applied = Documents::default();
        for (name, text) in self.applied() {
            applied.put(name, text);
        }
        let digest = applied.digest();
        let change = applied.since(&Documents::default());
        let mut updates = vec![TableUpdate { sequence: 0, from: None, digest, change }];
        if !self.rejected.is_empty() {
            let (from, change) = (Some(digest), self.documents.since(&applied));
            updates.push(TableUpdate { sequence: 0, from, digest: self.digest(), change });
        }
        updates
    }

    pub fn documents(&self) -> &Documents {
        &self.documents
    }
}

fn to_wire(hash: Option<DocumentHash>) -> u64 {
    hash.map_or(0, DocumentHash::get)
}

fn names(change: &Change) -> impl Iterator<Item = &Name> {
    change.removals.iter().chain(change.upserts.iter().map(|(name, _)| name))
}

/// The same change with each name once.
fn deduplicate(change: Change) -> Change {
    let upserts: BTreeMap<_, _> = change.upserts.into_iter().collect();
    let removals = change.removals.into_iter().filter(|name| !upserts.contains_key(name));
    let removals: BTreeSet<_> = removals.collect();
    Change { removals: removals.into_iter().collect(), upserts: upserts.into_iter().collect() }
}

fn inverse(change: &Change, before: Versions) -> Change {
    let removals = change.upserts.iter().map(|(name, _)| name);
    Change {
        removals: removals.filter(|name| !before.contains_key(name)).cloned().collect(),
        upserts: before.into_iter().map(|(name, document)| (name, document.text)).collect(),
    }
}

fn cut(reason: &str) -> Arc<str> {
    reason.chars().take(REASON_CHARS_MAX).collect::<String>().into()
}

#[cfg(test)]
mod tests;
