//! Documents that are too large to publish.
//!
//! A document above the limit of one document waits for a smaller version. One that only finds no
//! room in the table is kept, and published as soon as there is room.

use bytes::Bytes;
use llm_contract::push::Name;
use std::collections::BTreeMap;

/// A message holds at least one document, and the usual limit of gRPC for a message is 4 MiB.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Of all documents kept; further ones wait for their next version.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a document is not published. The last good one of that name stays, unless it is a key: its
/// last record could admit a caller that the new one excludes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    #[error(
        "{name} has {bytes} bytes, of at most {DOCUMENT_BYTES_MAX}; declare fewer models in it"
    )]
    Document { name: Name, bytes: usize },
    /// The size of the table with the document.
    #[error(
        "with {name} the table has {bytes} bytes, of at most {bytes_max}; delete what is not needed"
    )]
    Table { name: Name, bytes: usize, bytes_max: usize },
}

impl TooLarge {
    pub fn name(&self) -> &Name {
        match self {
            Self::Document { name, .. } | Self::Table { name, .. } => name,
        }
    }
}

/// The latest version of each document that is too large.
#[derive(Debug, Default)]
pub(crate) struct OversizedDocuments {
    documents: BTreeMap<Name, Oversized>,
    kept_bytes: usize,
}

#[derive(Debug)]
struct Oversized {
    reason: TooLarge,
    /// Waits for room in the table.
    kept: Option<Bytes>,
}

impl OversizedDocuments {
    pub(crate) fn reason(&self, name: &Name) -> Option<&TooLarge> {
        self.documents.get(name).map(|it| &it.reason)
    }

    pub(crate) fn len(&self) -> usize {
        self.documents.len()
    }

    pub(crate) fn insert(&mut self, name: &Name, reason: TooLarge, document: Bytes) {
        self.remove(name);
        let fits = self.kept_bytes + document.len() <= KEPT_BYTES_MAX;
        let kept = (fits && matches!(reason, TooLarge::Table { .. })).then_some(document);
        self.kept_bytes += kept.as_ref().map_or(0, Bytes::len);
        self.documents.insert(name.clone(), Oversized { reason, kept });
    }

    pub(crate) fn remove(&mut self, name: &Name) {
        let kept = self.documents.remove(name).and_then(|it| it.kept);
        self.kept_bytes -= kept.map_or(0, |document| document.len());
    }

    /// Documents that wait for room in the table, ordered by name.
    pub(crate) fn kept(&self) -> Vec<(Name, Bytes)> {
        let kept = |(name, it): (&Name, &Oversized)| Some((name.clone(), it.kept.clone()?));
        self.documents.iter().filter_map(kept).collect()
    }
}
