//! What the operator sent, and what became of it.
//!
//! The digest is of all documents that were received, those that are refused among them: so both
//! sides count alike, and a document that is refused is not sent again and again. What is refused
//! is told apart, with the last good document in its place.

use super::parts::{InvalidUpdate, Update};
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

/// A reason is cut here.
const REASON_CHARS_MAX: usize = 300;
/// Refusals that a report tells of.
const REFUSALS_MAX: usize = 1000;

/// New versions of resources, or `None` for what is no more.
pub type Changes = Vec<(Name, Option<Resource>)>;

/// What the operator sent, and what became of it.
pub struct Received {
    documents: Documents,
    refused: BTreeMap<Name, Refused>,
    bytes_max: usize,
}

/// Why a resource was not put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotApplied {
    /// Which.
    pub name: Name,
    /// Why, for people.
    pub reason: String,
    /// Whether what it was before stays in force.
    pub keeps_last: bool,
}

/// What an update came to.
#[derive(Debug)]
pub struct Outcome {
    /// What it changed, from what was here.
    pub update: Update,
    /// For the operator.
    pub report: wire::InForce,
    /// What was refused, and why.
    pub refused: Vec<(Name, Arc<str>)>,
}

/// A document that is not in force.
struct Refused {
    reason: Arc<str>,
    /// It is good, and comes into force by itself when others let it.
    waits: bool,
    /// What is in force in its place.
    last: Option<Document>,
}

#[derive(Clone)]
struct Document {
    text: Bytes,
    hash: DocumentHash,
}

type Before = BTreeMap<Name, Document>;

impl Received {
    /// Nothing yet.
    pub fn new(bytes_max: usize) -> Self {
        Self { documents: Documents::default(), refused: BTreeMap::new(), bytes_max }
    }

    /// Stands for all that was received.
    pub fn digest(&self) -> Digest {
        self.documents.digest()
    }

    /// Takes an update, and has it put in force: `apply` says what it does not put in force, be
    /// it of this update or an earlier one.
    ///
    /// # Errors
    /// [`InvalidUpdate`]; then nothing changes.
    pub fn take(
        &mut self,
        update: Update,
        apply: impl FnOnce(Changes) -> Vec<NotApplied>,
    ) -> Result<Outcome, InvalidUpdate> {
        let (sequence, digest, ours) = (update.sequence, update.digest, self.digest());
        let (change, before) = self.step(update)?;
        let (changes, invalid) = self.read(&change);
        let changed = self.settle(&change, before, invalid, apply(changes));
        let names = change.upserts.iter().map(|(name, _)| name);
        let refused = names.filter_map(|name| Some((name.clone(), self.refused.get(name)?)));
        let refused: Vec<_> = refused.map(|(name, it)| (name, Arc::clone(&it.reason))).collect();
        let report = wire::InForce {
            sequence,
            digest: digest.to_vec(),
            routes: changed.iter().filter_map(|name| self.state(name)).collect(),
            refusals: refused.iter().take(REFUSALS_MAX).map(|it| self.refusal(it)).collect(),
        };
        let update = Update { sequence, from: Some(ours), digest, change };
        Ok(Outcome { update, report, refused })
    }

    /// Changes the documents, if that makes the table which the update says.
    fn step(&mut self, update: Update) -> Result<(Change, Before), InvalidUpdate> {
        let Update { sequence: _, from, digest, change } = update;
        let ours = self.digest();
        let Some(from) = from else {
            let mut whole = Documents::default();
            whole.apply(change);
            self.check(&whole, digest)?;
            let change = whole.since(&self.documents);
            let before = self.before(&change);
            self.documents = whole;
            return Ok((change, before));
        };
        if from != ours {
            return Err(InvalidUpdate::OtherTable { from, ours });
        }
        let change = once(change);
        let before = self.before(&change);
        self.documents.apply(change.clone());
        if let Err(wrong) = self.check(&self.documents, digest) {
            self.documents.apply(undo(&change, before));
            return Err(wrong);
        }
        Ok((change, before))
    }

    fn check(&self, documents: &Documents, expected: Digest) -> Result<(), InvalidUpdate> {
        let (found, bytes_max) = (documents.digest(), self.bytes_max);
        if found != expected {
            return Err(InvalidUpdate::OtherDigest { expected, found });
        }
        if bytes_max < documents.bytes() {
            return Err(InvalidUpdate::TooLarge { bytes_max });
        }
        Ok(())
    }

    /// What a change replaces or removes.
    fn before(&self, change: &Change) -> Before {
        let document = |name: &Name| Some((name.clone(), self.document(name)?));
        names(change).filter_map(document).collect()
    }

    fn document(&self, name: &Name) -> Option<Document> {
        let (text, hash) = (self.documents.get(name)?.clone(), self.documents.hash(name)?);
        Some(Document { text, hash })
    }

    /// Reads the documents of a change; what cannot be read, and why.
    fn read(&self, change: &Change) -> (Changes, BTreeMap<Name, String>) {
        let mut changes: Changes =
            change.removals.iter().map(|name| (name.clone(), None)).collect();
        let mut invalid = BTreeMap::new();
        for (name, document) in &change.upserts {
            match Resource::parse(name, document) {
                Ok(resource) => changes.push((name.clone(), Some(resource))),
                Err(why) => {
                    invalid.insert(name.clone(), Chain(&why).to_string());
                    // A key that cannot be read may be one that was suspended or narrowed: its
                    // last good record could let in who is to stay out. And what only waits for
                    // its turn must not come into force when it is no longer what is wanted.
                    let waits = self.refused.get(name).is_some_and(|refused| refused.waits);
                    if name.kind == Kind::Key || waits {
                        changes.push((name.clone(), None));
                    }
                }
            }
        }
        (changes, invalid)
    }

    /// Notes what is refused now. Says which resources may be in force in another version.
    fn settle(
        &mut self,
        change: &Change,
        mut before: Before,
        mut invalid: BTreeMap<Name, String>,
        not_applied: Vec<NotApplied>,
    ) -> BTreeSet<Name> {
        let mut changed: BTreeSet<Name> = names(change).cloned().collect();
        let mut not_applied: BTreeMap<Name, NotApplied> =
            not_applied.into_iter().map(|it| (it.name.clone(), it)).collect();
        for (name, mut refused) in mem::take(&mut self.refused) {
            if changed.contains(&name) {
                // What was in force before is not what was sent before.
                before.remove(&name);
                let kept = refused.last.filter(|_| !(refused.waits && invalid.contains_key(&name)));
                before.extend(kept.map(|last| (name, last)));
                continue;
            }
            if refused.waits {
                let Some(still) = not_applied.remove(&name) else {
                    changed.insert(name);
                    continue;
                };
                if !still.keeps_last && refused.last.take().is_some() {
                    changed.insert(name.clone());
                }
                refused.reason = cut(&still.reason);
            }
            self.refused.insert(name, refused);
        }
        for (name, _) in &change.upserts {
            let (reason, waits, keeps_last) = match (invalid.remove(name), not_applied.remove(name))
            {
                (Some(reason), _) => (reason, false, name.kind != Kind::Key),
                (None, Some(it)) => (it.reason, name.kind == Kind::Routes, it.keeps_last),
                (None, None) => continue,
            };
            let last = before.remove(name).filter(|_| keeps_last);
            let refused = Refused { reason: cut(&reason), waits, last };
            self.refused.insert(name.clone(), refused);
        }
        changed
    }

    /// Everything that is in force: what is reported first.
    pub fn everything(&self) -> wire::InForce {
        let refused = self.refused.iter().take(REFUSALS_MAX);
        wire::InForce {
            sequence: 0,
            digest: self.digest().to_vec(),
            routes: self.documents.iter().filter_map(|(name, _)| self.state(name)).collect(),
            refusals: refused
                .map(|(name, it)| self.refusal(&(name.clone(), Arc::clone(&it.reason))))
                .collect(),
        }
    }

    /// Which routes of a custom resource are in force. What no custom resource is called is
    /// refused, and an operator that is told of it by this name ends the stream.
    fn state(&self, name: &Name) -> Option<wire::RouteState> {
        if name.kind != Kind::Routes || ResourceName::parse(&name.name).is_err() {
            return None;
        }
        let hash = match self.refused.get(name) {
            Some(refused) => refused.last.as_ref().map(|last| last.hash),
            None => self.documents.hash(name),
        };
        Some(wire::RouteState {
            name: name.name.as_ref().to_owned(),
            hash: hash.map_or(0, DocumentHash::get),
        })
    }

    fn refusal(&self, (name, reason): &(Name, Arc<str>)) -> wire::Refusal {
        wire::Refusal {
            kind: name.kind.to_wire().into(),
            name: name.name.as_ref().to_owned(),
            hash: self.documents.hash(name).map_or(0, DocumentHash::get),
            reason: reason.as_ref().to_owned(),
        }
    }

    /// The documents in force, in the order of their names.
    pub fn in_force(&self) -> impl Iterator<Item = (Name, Bytes)> {
        self.documents.iter().filter_map(|(name, text)| match self.refused.get(name) {
            Some(refused) => Some((name.clone(), refused.last.as_ref()?.text.clone())),
            None => Some((name.clone(), text.clone())),
        })
    }

    /// Whether a document of this name is in force.
    pub fn is_in_force(&self, name: &Name) -> bool {
        match self.refused.get(name) {
            Some(refused) => refused.last.is_some(),
            None => self.documents.get(name).is_some(),
        }
    }

    /// What is refused, and why.
    pub fn refused(&self) -> impl ExactSizeIterator<Item = (&Name, &Arc<str>)> {
        self.refused.iter().map(|(name, refused)| (name, &refused.reason))
    }

    /// Updates that make all this anew: what is in force, then what is refused.
    pub fn replay(&self) -> Vec<Update> {
        let mut first = Documents::default();
        for (name, text) in self.in_force() {
            first.put(name, text);
        }
        let upserts: Vec<_> =
            first.iter().map(|(name, text)| (name.clone(), text.clone())).collect();
        let whole = Change { upserts, removals: Vec::new() };
        let whole = Update { sequence: 0, from: None, digest: first.digest(), change: whole };
        if self.refused.is_empty() {
            return vec![whole];
        }
        let change = self.documents.since(&first);
        let then =
            Update { sequence: 0, from: Some(first.digest()), digest: self.digest(), change };
        vec![whole, then]
    }

    /// How many documents there are.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// The size of all documents, in bytes.
    pub fn bytes(&self) -> usize {
        self.documents.bytes()
    }
}

fn names(change: &Change) -> impl Iterator<Item = &Name> {
    change.removals.iter().chain(change.upserts.iter().map(|(name, _)| name))
}

/// The same change, with each name in it once.
fn once(change: Change) -> Change {
    let upserts: BTreeMap<_, _> = change.upserts.into_iter().collect();
    let removals = change.removals.into_iter().filter(|name| !upserts.contains_key(name));
    let removals: BTreeSet<_> = removals.collect();
    Change { removals: removals.into_iter().collect(), upserts: upserts.into_iter().collect() }
}

fn undo(change: &Change, before: Before) -> Change {
    let removals = change.upserts.iter().map(|(name, _)| name);
    Change {
        removals: removals.filter(|name| !before.contains_key(name)).cloned().collect(),
        upserts: before.into_iter().map(|(name, document)| (name, document.text)).collect(),
    }
}

fn cut(reason: &str) -> Arc<str> {
    match reason.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => reason.get(..end).unwrap_or_default().into(),
        None => reason.into(),
    }
}

#[cfg(test)]
mod tests;
