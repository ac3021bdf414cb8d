//! What is compiled now, and the names of what changed lately.
//!
//! Only names are remembered, not documents: a follower that is some changes behind is sent the
//! latest version of each document that changed, once. So a follower that reads slowly is sent less,
//! not more, and costs no memory.

use crate::held_back::HeldBack;
use bytes::Bytes;
use llm_contract::push::{Change, Digest, DocumentHash, Documents, Kind, Name};
use parking_lot::Mutex;
use std::{
    collections::{BTreeSet, VecDeque},
    time::Instant,
};
use tokio::sync::watch;

/// Changes that are remembered; a table older than these is replaced whole.
const STEPS_MAX: usize = 4096;
/// Names in all remembered changes together.
const NAMES_MAX: usize = 64 * 1024;
/// One document. A message holds at least one, and gRPC's usual limit for one is 4 MiB.
const DOCUMENT_BYTES_MAX: usize = 3 * 1024 * 1024;

/// What is compiled now, shared by whoever publishes and whoever follows.
#[derive(Debug)]
pub struct Table {
    inner: Mutex<Inner>,
    /// `None` until the first change is published.
    digest: watch::Sender<Option<Digest>>,
}

#[derive(Debug)]
struct Inner {
    documents: Documents,
    bytes_max: usize,
    held_back: HeldBack,
    steps: VecDeque<Step>,
    names: usize,
}

/// What came of publishing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// What of the change is too large, and was not published; what was so before for the same
    /// reason is not said again.
    pub too_large: Vec<TooLarge>,
    /// What was too large before, and is published now: another version, or there is room.
    pub fits_now: Vec<Name>,
}

/// A change that was published. The next step begins where it ended.
#[derive(Debug)]
struct Step {
    before: Digest,
    names: Vec<Name>,
    published: Instant,
}

/// What a follower lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The table that it changes; `None` if this is a whole table.
    pub from: Option<Digest>,
    /// The table that it becomes.
    pub digest: Digest,
    /// The latest version of each document that changed.
    pub change: Change,
    /// When the oldest change in it was published; `None` for a whole table.
    pub published: Option<Instant>,
}

/// A document that was not published. The last good one of that name stays, unless it is a key:
/// that one is taken out of force, as its last record could let in who is to stay out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// It would not fit into a message.
    #[error(
        "{name} has {bytes} bytes, of at most {DOCUMENT_BYTES_MAX}; declare fewer models in it"
    )]
    Document {
        /// Of the document.
        name: Name,
        /// Its size.
        bytes: usize,
    },
    /// No proxy would take the table.
    #[error(
        "with {name} the table has {bytes} bytes, of at most {bytes_max}; delete what is not needed"
    )]
    Table {
        /// Of the document.
        name: Name,
        /// The size that the table would have.
        bytes: usize,
        /// The size that it may have.
        bytes_max: usize,
    },
}

impl TooLarge {
    /// Of the document.
    pub fn name(&self) -> &Name {
        match self {
            Self::Document { name, .. } | Self::Table { name, .. } => name,
        }
    }
}

impl Table {
    /// A table of which nothing is known yet: followers are sent nothing before the first
    /// [`publish`](Self::publish), which must bring all there is.
    pub fn new() -> Self {
        Self::of(llm_contract::Table::BYTES_MAX)
    }

    fn of(bytes_max: usize) -> Self {
        let inner = Inner {
            documents: Documents::default(),
            bytes_max,
            held_back: HeldBack::default(),
            steps: VecDeque::new(),
            names: 0,
        };
        Self { inner: Mutex::new(inner), digest: watch::Sender::new(None) }
    }

    /// Changes the table, at a cost that does not depend on its size, and wakes followers if
    /// anything is other than before.
    pub fn publish(&self, change: Change, now: Instant) -> Published {
        let mut inner = self.inner.lock();
        let before = inner.documents.digest();
        let (names, published) = inner.apply(change);
        let digest = inner.documents.digest();
        if digest != before {
            inner.remember(Step { before, names, published: now });
        }
        // While the lock is held, so that the last word is about the last table.
        self.digest.send_if_modified(|current| current.replace(digest) != Some(digest));
        published
    }

    /// Why the latest version of a document was not published; `None` if it was.
    pub fn too_large(&self, name: &Name) -> Option<TooLarge> {
        self.inner.lock().held_back.why(name).cloned()
    }

    /// How many documents are too large.
    pub fn held_back(&self) -> usize {
        self.inner.lock().held_back.len()
    }

    /// What to send to whoever has the table `base`; `None` if that is this one, or if nothing
    /// was published yet.
    pub fn since(&self, base: Option<Digest>) -> Option<Delta> {
        let inner = self.inner.lock();
        let digest = self.digest.borrow().filter(|digest| base != Some(*digest))?;
        let (from, change, published) = match base.and_then(|base| inner.joined(base)) {
            Some((change, published)) => (base, change, Some(published)),
            None => (None, inner.whole(), None),
        };
        Some(Delta { from, digest, change, published })
    }

    /// A copy of all documents, which costs what they are many.
    pub fn documents(&self) -> Documents {
        self.inner.lock().documents.clone()
    }

    /// The hash of one document; `None` if there is none.
    pub fn hash(&self, name: &Name) -> Option<DocumentHash> {
        self.inner.lock().documents.hash(name)
    }

    /// Stands for the whole table; `None` before it is known.
    pub fn digest(&self) -> Option<Digest> {
        *self.digest.borrow()
    }

    /// Wakes when [`digest`](Self::digest) is another.
    pub fn watch(&self) -> watch::Receiver<Option<Digest>> {
        self.digest.subscribe()
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    /// Says what has changed, and what came of it.
    fn apply(&mut self, change: Change) -> (Vec<Name>, Published) {
        let mut names = Vec::new();
        let mut makes_room = false;
        for name in change.removals {
            self.held_back.forget(&name);
            if self.documents.remove(&name) {
                makes_room = true;
                names.push(name);
            }
        }
        let (mut refused, mut fits_now) = (Vec::new(), Vec::new());
        for (name, document) in change.upserts {
            let before = self.documents.bytes();
            let why_before = self.held_back.why(&name).cloned();
            if self.put(&name, document) {
                makes_room |= self.documents.bytes() < before;
                names.push(name.clone());
            }
            match (why_before, self.held_back.why(&name)) {
                (before, Some(why)) if before.as_ref() != Some(why) => refused.push(why.clone()),
                (Some(_), None) => fits_now.push(name),
                (_, _) => {}
            }
        }
        if makes_room {
            let fit = self.put_what_fits();
            names.extend(fit.iter().cloned());
            fits_now.extend(fit);
        }
        (names, Published { too_large: refused, fits_now })
    }

    /// Puts a document in, or holds it back. Says whether anything changed.
    fn put(&mut self, name: &Name, document: Bytes) -> bool {
        let Some(why) = self.too_large(name, document.len()) else {
            self.held_back.forget(name);
            return self.documents.put(name.clone(), document);
        };
        self.held_back.hold(name, why, document);
        match name.kind {
            Kind::Key => self.documents.remove(name),
            Kind::Settings | Kind::Issuers | Kind::Routes => false,
        }
    }

    /// Puts in what was held back and fits now, in the order of the names.
    fn put_what_fits(&mut self) -> Vec<Name> {
        let mut fit = Vec::new();
        for (name, document) in self.held_back.waiting() {
            if self.too_large(&name, document.len()).is_none() {
                self.put(&name, document);
                fit.push(name);
            }
        }
        fit
    }

    fn too_large(&self, name: &Name, bytes: usize) -> Option<TooLarge> {
        if DOCUMENT_BYTES_MAX < bytes {
            return Some(TooLarge::Document { name: name.clone(), bytes });
        }
        let (bytes, bytes_max) = (self.documents.bytes_with(name, bytes), self.bytes_max);
        (bytes_max < bytes).then(|| TooLarge::Table { name: name.clone(), bytes, bytes_max })
    }

    fn remember(&mut self, step: Step) {
        self.names += step.names.len();
        self.steps.push_back(step);
        while STEPS_MAX < self.steps.len() || NAMES_MAX < self.names {
            let Some(oldest) = self.steps.pop_front() else { return };
            self.names -= oldest.names.len();
        }
    }

    /// All changes since the table `base`, if they are remembered.
    fn joined(&self, base: Digest) -> Option<(Change, Instant)> {
        let last = self.steps.iter().rposition(|step| step.before == base)?;
        let published = self.steps.get(last)?.published;
        let names: BTreeSet<&Name> =
            self.steps.range(last..).flat_map(|step| &step.names).collect();
        let mut change = Change::default();
        for name in names {
            match self.documents.get(name) {
                Some(document) => change.upserts.push((name.clone(), document.clone())),
                None => change.removals.push(name.clone()),
            }
        }
        Some((change, published))
    }

    fn whole(&self) -> Change {
        let clone = |(name, document): (&Name, &Bytes)| (name.clone(), document.clone());
        Change { upserts: self.documents.iter().map(clone).collect(), removals: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
