//! Documents that are too large to be published.
//!
//! One that is too large by itself is so until another version of it comes. One for which there
//! is no room in the table is kept, and goes in by itself when another leaves.

use crate::table::TooLarge;
use bytes::Bytes;
use llm_contract::push::Name;
use std::collections::BTreeMap;

/// Of all documents that wait for room; what is beyond waits for its next version.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Documents that are too large, each by its latest version.
#[derive(Debug, Default)]
pub(crate) struct HeldBack {
    held: BTreeMap<Name, Held>,
    /// Of those that wait.
    bytes: usize,
}

#[derive(Debug)]
struct Held {
    why: TooLarge,
    /// What waits for room.
    document: Option<Bytes>,
}

impl HeldBack {
    /// Why a document is held back; `None` if it is not.
    pub(crate) fn why(&self, name: &Name) -> Option<&TooLarge> {
        self.held.get(name).map(|held| &held.why)
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn hold(&mut self, name: &Name, why: TooLarge, document: Bytes) {
        self.forget(name);
        let bytes = document.len();
        let waits = match why {
            TooLarge::Document { .. } => false,
            TooLarge::Table { .. } => self.bytes + bytes <= WAITING_BYTES_MAX,
        };
        self.bytes += if waits { bytes } else { 0 };
        self.held.insert(name.clone(), Held { why, document: waits.then_some(document) });
    }

    pub(crate) fn forget(&mut self, name: &Name) {
        let held = self.held.remove(name);
        let document = held.and_then(|held| held.document);
        self.bytes -= document.map_or(0, |document| document.len());
    }

    /// What waits for room.
    pub(crate) fn waiting(&self) -> Vec<(Name, Bytes)> {
        let waits = |(name, held): (&Name, &Held)| Some((name.clone(), held.document.clone()?));
        self.held.iter().filter_map(waits).collect()
    }
}
