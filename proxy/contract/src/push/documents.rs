//! A set of documents, with a digest that is kept up to date at the cost of each change.

use super::Name;
#[cfg(feature = "push")]
use super::{Kind, wire};
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
    held: BTreeMap<Name, Held>,
    digest: Digest,
    bytes: usize,
}

#[derive(Clone, PartialEq, Eq)]
struct Held {
    document: Bytes,
    digest: Digest,
}

/// Stands for a set of documents: the sum of the SHA-256 of each, modulo 2^256.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u64; 4]);

/// Stands for one document; never 0, which stands for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentHash(u64);

/// What one update changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Documents that are new, or new versions.
    pub upserts: Vec<(Name, Bytes)>,
    /// Documents that are no more.
    pub removals: Vec<Name>,
}

/// Why a message of the wire is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChange {
    /// Made by a newer operator.
    #[error("resource {name:?} is of a kind this program does not know ({kind})")]
    Kind {
        /// The resource.
        name: String,
        /// As sent.
        kind: i32,
    },
    /// Not 32 bytes.
    #[error("a digest has {} bytes, not {found}", Digest::BYTES)]
    Digest {
        /// As many were sent.
        found: usize,
    },
}

impl Documents {
    /// Adds a document or replaces the one of that name. Says whether anything changed.
    pub fn put(&mut self, name: Name, document: Bytes) -> bool {
        let digest = Digest::of(&name, &document);
        if self.held.get(&name).is_some_and(|held| held.digest == digest) {
            return false;
        }
        self.forget(&name);
        self.bytes += name.name.len() + document.len();
        self.digest = self.digest.plus(digest);
        self.held.insert(name, Held { document, digest });
        true
    }

    /// Removes a document. Says whether there was one.
    pub fn remove(&mut self, name: &Name) -> bool {
        self.forget(name)
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

    /// What turns another set into this one. Costs as much as both sets have documents.
    pub fn since(&self, other: &Self) -> Change {
        let differs = |name: &Name, held: &Held| {
            other.held.get(name).is_none_or(|there| there.digest != held.digest)
        };
        let upserts = self
            .held
            .iter()
            .filter(|(name, held)| differs(name, held))
            .map(|(name, held)| (name.clone(), held.document.clone()))
            .collect();
        let removals =
            other.held.keys().filter(|name| !self.held.contains_key(name)).cloned().collect();
        Change { upserts, removals }
    }

    /// One document.
    pub fn get(&self, name: &Name) -> Option<&Bytes> {
        self.held.get(name).map(|held| &held.document)
    }

    /// The hash of one document.
    pub fn hash(&self, name: &Name) -> Option<DocumentHash> {
        self.held.get(name).map(|held| held.digest.short())
    }

    /// All documents, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Bytes)> {
        self.held.iter().map(|(name, held)| (name, &held.document))
    }

    /// Stands for the whole set.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many documents there are.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The size of all documents and their names, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What [`bytes`](Self::bytes) would be with a document of that size.
    pub fn bytes_with(&self, name: &Name, document_bytes: usize) -> usize {
        self.bytes - self.bytes_of(name) + name.name.len() + document_bytes
    }

    fn bytes_of(&self, name: &Name) -> usize {
        self.held.get(name).map_or(0, |held| name.name.len() + held.document.len())
    }

    fn forget(&mut self, name: &Name) -> bool {
        self.bytes -= self.bytes_of(name);
        let before = self.held.remove(name);
        if let Some(before) = &before {
            self.digest = self.digest.minus(before.digest);
        }
        before.is_some()
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

    /// A sum, not a XOR: with that, whoever may write some hundred documents could easily choose
    /// them so that two different sets look the same.
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
        let (mut rest, mut borrow) = (self, false);
        for (left, right) in rest.0.iter_mut().zip(other.0) {
            let (value, under) = left.overflowing_sub(right);
            let (value, again) = value.overflowing_sub(u64::from(borrow));
            (*left, borrow) = (value, under || again);
        }
        rest
    }

    fn short(self) -> DocumentHash {
        let Self([first, ..]) = self;
        DocumentHash(first.max(1))
    }

    /// As it is on the wire.
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

    /// Reads it from the wire; nothing there stands for no table.
    ///
    /// # Errors
    /// [`InvalidChange::Digest`] for any other length.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, InvalidChange> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let wrong = |_length| InvalidChange::Digest { found: bytes.len() };
        Ok(Some(Self::from_array(bytes.try_into().map_err(wrong)?)))
    }
}

impl fmt::Display for Digest {
    /// The first 16 hexadecimal digits: for people.
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

impl fmt::Debug for Held {
    /// Without the document: it may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({}, {} bytes)", self.digest, self.document.len())
    }
}

impl DocumentHash {
    /// As it is on the wire.
    pub fn get(self) -> u64 {
        self.0
    }

    /// Reads it from the wire; 0 stands for no document.
    pub fn parse(wire: u64) -> Option<Self> {
        (wire != 0).then_some(Self(wire))
    }
}

impl Change {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.removals.is_empty()
    }

    /// Adds what a message says.
    ///
    /// # Errors
    /// [`InvalidChange::Kind`]; nothing of the message may then be used.
    #[cfg(feature = "push")]
    pub fn extend(
        &mut self,
        upserts: Vec<wire::Resource>,
        removals: Vec<wire::Name>,
    ) -> Result<(), InvalidChange> {
        for wire::Resource { kind, name, document } in upserts {
            self.upserts.push((Name::parse(kind, name)?, document));
        }
        for wire::Name { kind, name } in removals {
            self.removals.push(Name::parse(kind, name)?);
        }
        Ok(())
    }
}

#[cfg(feature = "push")]
impl Name {
    /// Reads it from the wire.
    ///
    /// # Errors
    /// [`InvalidChange::Kind`].
    pub fn parse(kind: i32, name: String) -> Result<Self, InvalidChange> {
        match Kind::parse(kind) {
            Some(kind) => Ok(Self { kind, name: name.into() }),
            None => Err(InvalidChange::Kind { name, kind }),
        }
    }
}

#[cfg(test)]
mod tests;
