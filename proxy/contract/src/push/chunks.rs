//! Splits a change into messages of bounded size.

use super::{Change, Digest, Name, wire};
use bytes::Bytes;
use std::{iter::Peekable, vec};

/// Encoding overhead of a resource beside its name and document.
const RESOURCE_BYTES: usize = 24;

/// The messages of one update; at least one.
#[derive(Debug)]
pub struct UpdateChunks {
    sequence: u64,
    from: Vec<u8>,
    digest: Vec<u8>,
    removals: Peekable<vec::IntoIter<Name>>,
    upserts: Peekable<vec::IntoIter<(Name, Bytes)>>,
    ended: bool,
}

impl Change {
    /// The messages that turn table `from` into `digest`.
    ///
    /// Without `from` they are a snapshot.
    pub fn into_chunks(self, sequence: u64, from: Option<Digest>, digest: Digest) -> UpdateChunks {
        UpdateChunks {
            sequence,
            from: from.map_or_else(Vec::new, Digest::to_vec),
            digest: digest.to_vec(),
            removals: self.removals.into_iter().peekable(),
            upserts: self.upserts.into_iter().peekable(),
            ended: false,
        }
    }
}

impl UpdateChunks {
    /// The target size of a message; only a single document exceeds it.
    pub const BYTES: usize = 1024 * 1024;
}

impl Iterator for UpdateChunks {
    type Item = wire::Update;

    fn next(&mut self) -> Option<wire::Update> {
        if self.ended {
            return None;
        }
        let (mut removals, mut upserts, mut bytes) = (Vec::new(), Vec::new(), 0);
        while bytes < Self::BYTES
            && let Some(name) = self.removals.next()
        {
            bytes += name.name.len() + RESOURCE_BYTES;
            removals.push(wire::Name { kind: name.kind.to_wire().into(), name: text(&name) });
        }
        let fits = |bytes: usize, document: &Bytes| {
            bytes == 0 || bytes + document.len() + RESOURCE_BYTES <= Self::BYTES
        };
        while let Some((name, document)) =
            self.upserts.next_if(|(_, document)| fits(bytes, document))
        {
            bytes += name.name.len() + document.len() + RESOURCE_BYTES;
            upserts.push(wire::Resource {
                kind: name.kind.to_wire().into(),
                name: text(&name),
                document,
            });
        }
        let more = self.removals.peek().is_some() || self.upserts.peek().is_some();
        self.ended = !more;
        let (from, digest) = (self.from.clone(), self.digest.clone());
        Some(wire::Update { sequence: self.sequence, from, digest, upserts, removals, more })
    }
}

fn text(name: &Name) -> String {
    name.name.as_ref().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::{Documents, Kind};
    use proptest::prelude::*;
    use prost::Message as _;

    #[test]
    fn an_update_of_nothing_is_one_message() {
        let chunks: Vec<_> = Change::default().into_chunks(3, None, Digest::default()).collect();
        assert_eq!(chunks.len(), 1);
        assert_eq!((chunks[0].sequence, chunks[0].more), (3, false));
    }

    #[test]
    fn removals_are_bounded_too() {
        let name = |index: usize| Name::new(Kind::Routes, format!("models/{index:0>250}"));
        let change = Change { upserts: Vec::new(), removals: (0..20_000).map(name).collect() };
        let chunks: Vec<_> = change.into_chunks(1, None, Digest::default()).collect();
        assert!(chunks.iter().all(|chunk| chunk.encoded_len() <= UpdateChunks::BYTES + 1024));
        assert_eq!(chunks.iter().map(|chunk| chunk.removals.len()).sum::<usize>(), 20_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn chunks_are_bounded_and_together_are_the_update(
            sizes in proptest::collection::vec(0_usize..800_000, 0..12),
        ) {
            let mut documents = Documents::default();
            for (index, size) in sizes.iter().enumerate() {
                let name = Name::new(Kind::Routes, format!("models/m{index}"));
                documents.put(name, vec![b' '; *size].into());
            }
            let change = documents.since(&Documents::default());
            let chunks: Vec<_> = change.into_chunks(1, None, documents.digest()).collect();
            let last = chunks.len() - 1;
            let mut gathered = Change::default();
            for (index, chunk) in chunks.into_iter().enumerate() {
                prop_assert!(chunk.encoded_len() <= UpdateChunks::BYTES + 1024);
                prop_assert_eq!(chunk.more, index < last);
                gathered.extend(chunk.upserts, chunk.removals).unwrap();
            }
            let mut received = Documents::default();
            received.apply(gathered);
            prop_assert_eq!(received.digest(), documents.digest());
        }
    }
}
