//! The documents to push, with a log of which changed when.
//!
//! The log holds names, not documents: a subscriber that is some revisions behind is sent the
//! latest version of each document that changed, once. So a slow subscriber is sent less, not
//! more, and costs no memory.

use crate::oversized::{DOCUMENT_BYTES_MAX, OversizedDocuments, TooLarge};
use bytes::Bytes;
use llm_contract::{
    Table,
    push::{Change, Digest, DocumentHash, Documents, Kind, Name},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeSet, VecDeque},
    time::Instant,
};
use tokio::sync::watch;

/// Revisions in the log; subscribers behind the oldest are sent a snapshot.
const REVISIONS_MAX: usize = 4096;
/// Names in all revisions together.
const NAMES_MAX: usize = 64 * 1024;

/// The documents of the compiled table, shared by its publisher and all streams.
#[derive(Debug)]
pub struct DocumentStore {
    inner: Mutex<Inner>,
    /// `None` until the first change is published.
    digest: watch::Sender<Option<Digest>>,
}

#[derive(Debug)]
struct Inner {
    documents: Documents,
    bytes_max: usize,
    oversized: OversizedDocuments,
    revisions: VecDeque<Revision>,
    names: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOutcome {
    /// Documents of the change that are too large, unless for the same reason as before.
    pub too_large: Vec<TooLarge>,
    /// Documents that were too large and are published now.
    pub fits_now: Vec<Name>,
}

/// A published change. It ends where the next revision begins.
#[derive(Debug)]
struct Revision {
    base: Digest,
    names: Vec<Name>,
    published: Instant,
}

/// What a subscriber lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The table to apply it to; `None` for a snapshot.
    pub from: Option<Digest>,
    /// The resulting table.
    pub digest: Digest,
    pub change: Change,
    /// When its oldest change was published; `None` for a snapshot.
    pub published: Option<Instant>,
}

impl DocumentStore {
    /// An empty store. Streams are sent nothing before the first [`publish`](Self::publish), which
    /// must hold the complete table.
    pub fn new() -> Self {
        Self::with_limit(Table::BYTES_MAX)
    }

    fn with_limit(bytes_max: usize) -> Self {
        let inner = Inner {
            documents: Documents::default(),
            bytes_max,
            oversized: OversizedDocuments::default(),
            revisions: VecDeque::new(),
            names: 0,
        };
        Self { inner: Mutex::new(inner), digest: watch::Sender::new(None) }
    }

    /// Applies a change, at a cost independent of the table's size, and wakes all streams if the
    /// table is different.
    pub fn publish(&self, change: Change, now: Instant) -> PublishOutcome {
        let mut inner = self.inner.lock();
        let base = inner.documents.digest();
        let (names, outcome) = inner.apply(change);
        let digest = inner.documents.digest();
        if digest != base {
            inner.log(Revision { base, names, published: now });
        }
        // While the lock is held, so that the last digest sent is that of the last table.
        self.digest.send_if_modified(|current| current.replace(digest) != Some(digest));
        outcome
    }

    /// Why the latest version of a document is not published; `None` if it is.
    pub fn too_large(&self, name: &Name) -> Option<TooLarge> {
        self.inner.lock().oversized.reason(name).cloned()
    }

    /// The number of documents that are too large.
    pub fn oversized(&self) -> usize {
        self.inner.lock().oversized.len()
    }

    /// What a subscriber with table `base` lacks; `None` if nothing, or before the first publish.
    pub fn delta(&self, base: Option<Digest>) -> Option<Delta> {
        let inner = self.inner.lock();
        let digest = self.digest.borrow().filter(|digest| base != Some(*digest))?;
        let (from, change, published) = match base.and_then(|base| inner.changes_since(base)) {
            Some((change, published)) => (base, change, Some(published)),
            None => (None, inner.documents.since(&Documents::default()), None),
        };
        Some(Delta { from, digest, change, published })
    }

    /// A copy of all documents.
    pub fn documents(&self) -> Documents {
        self.inner.lock().documents.clone()
    }

    pub fn hash(&self, name: &Name) -> Option<DocumentHash> {
        self.inner.lock().documents.hash(name)
    }

    /// `None` before the first publish.
    pub fn digest(&self) -> Option<Digest> {
        *self.digest.borrow()
    }

    pub fn watch(&self) -> watch::Receiver<Option<Digest>> {
        self.digest.subscribe()
    }
}

impl Default for DocumentStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    /// Returns the names of documents that changed.
    fn apply(&mut self, change: Change) -> (Vec<Name>, PublishOutcome) {
        let mut names = Vec::new();
        let mut has_room = false;
        for name in change.removals {
            self.oversized.remove(&name);
            if self.documents.remove(&name) {
                has_room = true;
                names.push(name);
            }
        }
        let mut outcome = PublishOutcome::default();
        for (name, document) in change.upserts {
            let bytes = self.documents.bytes();
            let old_reason = self.oversized.reason(&name).cloned();
            if self.put(&name, document) {
                has_room |= self.documents.bytes() < bytes;
                names.push(name.clone());
            }
            match (old_reason, self.oversized.reason(&name)) {
                (old, Some(new)) if old.as_ref() != Some(new) => {
                    outcome.too_large.push(new.clone());
                }
                (Some(_), None) => outcome.fits_now.push(name),
                (_, _) => {}
            }
        }
        if has_room {
            for (name, document) in self.oversized.kept() {
                if self.check_size(&name, document.len()).is_ok() {
                    self.put(&name, document);
                    names.push(name.clone());
                    outcome.fits_now.push(name);
                }
            }
        }
        (names, outcome)
    }

    /// Returns whether the published documents changed.
    fn put(&mut self, name: &Name, document: Bytes) -> bool {
        let Err(reason) = self.check_size(name, document.len()) else {
            self.oversized.remove(name);
            return self.documents.put(name.clone(), document);
        };
        self.oversized.insert(name, reason, document);
        name.kind == Kind::Key && self.documents.remove(name)
    }

    fn check_size(&self, name: &Name, bytes: usize) -> Result<(), TooLarge> {
        let name = name.clone();
        if DOCUMENT_BYTES_MAX < bytes {
            return Err(TooLarge::Document { name, bytes });
        }
        let (bytes, bytes_max) = (self.documents.bytes_with(&name, bytes), self.bytes_max);
        if bytes_max < bytes { Err(TooLarge::Table { name, bytes, bytes_max }) } else { Ok(()) }
    }

    fn log(&mut self, revision: Revision) {
        self.names += revision.names.len();
        self.revisions.push_back(revision);
        while REVISIONS_MAX < self.revisions.len() || NAMES_MAX < self.names {
            let Some(oldest) = self.revisions.pop_front() else { return };
            self.names -= oldest.names.len();
        }
    }

    /// All changes since table `base`, if it is in the log, and when the first was published.
    fn changes_since(&self, base: Digest) -> Option<(Change, Instant)> {
        let first = self.revisions.iter().rposition(|revision| revision.base == base)?;
        let published = self.revisions.get(first)?.published;
        let names: BTreeSet<&Name> =
            self.revisions.range(first..).flat_map(|revision| &revision.names).collect();
        let mut change = Change::default();
        for name in names {
            match self.documents.get(name) {
                Some(document) => change.upserts.push((name.clone(), document.clone())),
                None => change.removals.push(name.clone()),
            }
        }
        Some((change, published))
    }
}

#[cfg(test)]
mod tests;
