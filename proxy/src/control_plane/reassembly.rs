//! Reassembles updates from chunks, up to a size.

use bytes::Bytes;
use llm_contract::push::{Change, Digest, InvalidChange, wire};

/// A complete update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableUpdate {
    pub sequence: u64,
    /// The table that it changes; `None` for a snapshot.
    pub from: Option<Digest>,
    /// The resulting table.
    pub digest: Digest,
    pub change: Change,
}

/// Why an update is rejected as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUpdate {
    #[error(transparent)]
    Change(#[from] InvalidChange),
    #[error("an update has no digest")]
    NoDigest,
    #[error("update {sequence} is incomplete, and another one begins")]
    Interrupted { sequence: u64 },
    #[error("the update makes a table of more than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("the update changes table {from}, but this proxy has table {ours}")]
    OtherBase { from: Digest, ours: Digest },
    #[error("the update should make table {expected}, but makes {found}")]
    OtherDigest { expected: Digest, found: Digest },
}

pub struct UpdateAssembler {
    incomplete: Option<TableUpdate>,
    bytes: usize,
    bytes_max: usize,
}

impl UpdateAssembler {
    pub fn new(bytes_max: usize) -> Self {
        Self { incomplete: None, bytes: 0, bytes_max }
    }

    /// Adds a chunk; returns the update after the last one. An error discards earlier chunks.
    pub fn add(&mut self, chunk: wire::Update) -> Result<Option<TableUpdate>, InvalidUpdate> {
        let wire::Update { sequence, from, digest, mut upserts, removals, more } = chunk;
        let from = Digest::parse(&from)?;
        let digest = Digest::parse(&digest)?.ok_or(InvalidUpdate::NoDigest)?;
        let mut update = match self.incomplete.take() {
            Some(it) if (it.sequence, it.from, it.digest) == (sequence, from, digest) => it,
            Some(TableUpdate { sequence, .. }) => {
                return Err(InvalidUpdate::Interrupted { sequence });
            }
            None => {
                self.bytes = 0;
                TableUpdate { sequence, from, digest, change: Change::default() }
            }
        };
        let added = upserts.iter().map(|it| it.name.len() + it.document.len());
        self.bytes += added.sum::<usize>() + removals.iter().map(|it| it.name.len()).sum::<usize>();
        if self.bytes_max < self.bytes {
            return Err(InvalidUpdate::TooLarge { bytes_max: self.bytes_max });
        }
        for resource in &mut upserts {
            // A slice of the receive buffer would keep all of it in memory.
            resource.document = Bytes::copy_from_slice(&resource.document);
        }
        update.change.extend(upserts, removals)?;
        if more {
            self.incomplete = Some(update);
            return Ok(None);
        }
        Ok(Some(update))
    }
}
