//! Puts the parts of an update together, up to a size.

use bytes::Bytes;
use llm_contract::push::{Change, Digest, InvalidChange, wire};

/// An update that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Its number on the stream.
    pub sequence: u64,
    /// The table that it changes; `None` if it is a whole table.
    pub from: Option<Digest>,
    /// The table that it becomes.
    pub digest: Digest,
    /// What it says.
    pub change: Change,
}

/// Why an update is refused. Nothing of it is then in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUpdate {
    /// See the source.
    #[error(transparent)]
    Change(#[from] InvalidChange),
    /// It cannot be told whether it came whole.
    #[error("an update does not say which table it makes")]
    NoDigest,
    /// Which of the two do further parts belong to?
    #[error("update {sequence} is not whole, and another one begins")]
    Interrupted {
        /// The one before.
        sequence: u64,
    },
    /// Larger than any table should be.
    #[error("a table has at most {bytes_max} bytes, and this update makes one that is larger")]
    TooLarge {
        /// The limit in force.
        bytes_max: usize,
    },
    /// It says nothing about the table that is here.
    #[error("the update changes table {from}, and table {ours} is in force")]
    OtherTable {
        /// What it changes.
        from: Digest,
        /// What is here.
        ours: Digest,
    },
    /// A defect of whoever made it, or of ours.
    #[error("the update should make table {expected}, and makes {found}")]
    OtherDigest {
        /// What it says.
        expected: Digest,
        /// What it comes to.
        found: Digest,
    },
}

/// The parts of an update that have come so far.
pub struct Parts {
    begun: Option<Update>,
    bytes: usize,
    bytes_max: usize,
}

impl Parts {
    /// None yet.
    pub fn new(bytes_max: usize) -> Self {
        Self { begun: None, bytes: 0, bytes_max }
    }

    /// Adds a part; the update, if that was the last one.
    ///
    /// # Errors
    /// [`InvalidUpdate`]; the parts that came before are then forgotten.
    pub fn add(&mut self, part: wire::Update) -> Result<Option<Update>, InvalidUpdate> {
        let wire::Update { sequence, from, digest, mut upserts, removals, more } = part;
        let from = Digest::parse(&from)?;
        let digest = Digest::parse(&digest)?.ok_or(InvalidUpdate::NoDigest)?;
        let mut update = match self.begun.take() {
            Some(begun)
                if (begun.sequence, begun.from, begun.digest) == (sequence, from, digest) =>
            {
                begun
            }
            Some(Update { sequence, .. }) => return Err(InvalidUpdate::Interrupted { sequence }),
            None => {
                self.bytes = 0;
                Update { sequence, from, digest, change: Change::default() }
            }
        };
        let added = upserts.iter().map(|it| it.name.len() + it.document.len());
        self.bytes += added.sum::<usize>() + removals.iter().map(|it| it.name.len()).sum::<usize>();
        if self.bytes_max < self.bytes {
            return Err(InvalidUpdate::TooLarge { bytes_max: self.bytes_max });
        }
        for resource in &mut upserts {
            // It is a piece of what was read, and would keep all of that in memory.
            resource.document = Bytes::copy_from_slice(&resource.document);
        }
        update.change.extend(upserts, removals)?;
        if more {
            self.begun = Some(update);
            return Ok(None);
        }
        Ok(Some(update))
    }
}
