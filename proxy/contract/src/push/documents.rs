//! A set of documents with an incremental digest.

use super::Name;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, fmt};

/// Documents by name.
///
/// ```
/// use llm_contract::push::{Documents, Kind, Name};
/// let name = || Name::new(Kind::Routes, "models/qwen3");
/// let (mut one, empty) = (Documents::default(), Documents::default());
/// one.put(name(), "{}".into());
/// assert_ne!(one.digest(), empty.digest());
/// one.remove(&name());
/// assert_eq!(one.digest(), empty.digest());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    documents: BTreeMap<Name, Document>,
    digest: Digest,
    bytes: usize,
}

#[derive(Clone, PartialEq, Eq)]
struct Document {
    text: Bytes,
    digest: Digest,
}

/// Identifies a set of documents: the sum of their SHA-256, modulo 2^256.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u64; 4]);

/// Identifies a version of one document; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentHash(u64);

/// The difference between two sets of documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// New documents, and new versions.
    pub upserts: Vec<(Name, Bytes)>,
    /// Removed documents.
    pub removals: Vec<Name>,
}

/// Why a message is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChange {
    /// A resource's name and its kind, unknown to this version.
    #[error("resource {0:?} is of a kind this program does not know ({1})")]
    Kind(String, i32),
    /// The length of a digest that has not 32 bytes.
    #[error("a digest has {expected} bytes, not {0}", expected = Digest::BYTES)]
    Digest(usize),
}

impl Documents {
    /// Inserts or replaces a document; returns whether anything changed.
    pub fn put(&mut self, name: Name, text: Bytes) -> bool {
        let digest = Digest::of(&name, &text);
        if self.documents.get(&name).is_some_and(|it| it.digest == digest) {
            return false;
        }
        self.remove(&name);
        self.bytes += name.name.len() + text.len();
        self.digest = self.digest.plus(digest);
        self.documents.insert(name, Document { text, digest });
        true
    }

    /// Removes a document; returns whether there was one.
    pub fn remove(&mut self, name: &Name) -> bool {
        self.bytes -= self.bytes_of(name);
        let removed = self.documents.remove(name);
        if let Some(removed) = &removed {
            self.digest = self.digest.minus(removed.digest);
        }
        removed.is_some()
    }

    /// Applies a change.
    pub fn apply(&mut self, change: Change) {
        for name in &change.removals {
            self.remove(name);
        }
        for (name, document) in change.upserts {
            self.put(name, document);
        }
    }

    /// The change from another set to this one; iterates both.
    pub fn since(&self, other: &Self) -> Change {
        let differs = |(name, ours): &(&Name, &Document)| {
            other.documents.get(name).is_none_or(|theirs| theirs.digest != ours.digest)
        };
        let upserts = self.documents.iter().filter(differs);
        let removals = other.documents.keys().filter(|name| !self.documents.contains_key(name));
        Change {
            upserts: upserts.map(|(name, it)| (name.clone(), it.text.clone())).collect(),
            removals: removals.cloned().collect(),
        }
    }

    /// The text of a document.
    pub fn get(&self, name: &Name) -> Option<&Bytes> {
        self.documents.get(name).map(|it| &it.text)
    }

    /// The hash of a document.
    pub fn hash(&self, name: &Name) -> Option<DocumentHash> {
        self.documents.get(name).map(|it| it.digest.short())
    }

    /// All documents, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Bytes)> {
        self.documents.iter().map(|(name, it)| (name, &it.text))
    }

    /// The digest of the set.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The number of documents.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there is no document.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// The size of all documents and names, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// [`bytes`](Self::bytes) if this document had this size.
    pub fn bytes_with(&self, name: &Name, document_bytes: usize) -> usize {
        self.bytes - self.bytes_of(name) + name.name.len() + document_bytes
    }

    fn bytes_of(&self, name: &Name) -> usize {
        self.documents.get(name).map_or(0, |it| name.name.len() + it.text.len())
    }
}

impl Digest {
    /// The length of a digest on the wire.
    pub const BYTES: usize = 32;

    fn of(name: &Name, document: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(name.kind.as_str());
        hash.update([0]);
        hash.update(name.name.as_bytes());
        hash.update([0]);
        hash.update(document);
        Self::from_array(hash.finalize().into())
    }

    /// A sum, not a XOR: with a XOR, the author of a few hundred documents could easily construct
    /// two different sets with one digest.
    fn plus(self, other: Self) -> Self {
        let (mut sum, mut carry) = (self, false);
        for (left, right) in sum.0.iter_mut().zip(other.0) {
            let (value, over) = left.overflowing_add(right);
            let (value, again) = value.overflowing_add(u64::from(carry));
            (*left, carry) = (value, over || again);
        }
        sum
    }

    fn minus(self, other: Self) -> Self {
        let complement = Self(other.0.map(|word| !word));
        self.plus(complement).plus(Self([1, 0, 0, 0]))
    }

    fn short(self) -> DocumentHash {
        let Self([first, ..]) = self;
        DocumentHash(first.max(1))
    }

    /// The encoding on the wire.
    pub fn to_vec(self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn from_array(bytes: [u8; Self::BYTES]) -> Self {
        let mut digest = Self::default();
        for (word, chunk) in digest.0.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        digest
    }

    /// Parses the encoding on the wire: 32 bytes, or `None` if empty.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, InvalidChange> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let wrong = |_length| InvalidChange::Digest(bytes.len());
        Ok(Some(Self::from_array(bytes.try_into().map_err(wrong)?)))
    }
}

impl fmt::Display for Digest {
    /// The first 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([first, ..]) = self;
        write!(f, "{:016x}", first.swap_bytes())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl fmt::Debug for Document {
    /// Without the text, which may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({}, {} bytes)", self.digest, self.text.len())
    }
}

impl DocumentHash {
    /// The encoding on the wire.
    pub fn get(self) -> u64 {
        self.0
    }

    /// Parses the encoding on the wire; `None` for 0.
    pub fn parse(wire: u64) -> Option<Self> {
        (wire != 0).then_some(Self(wire))
    }
}

impl Change {
    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.removals.is_empty()
    }
}

#[cfg(test)]
mod tests;
