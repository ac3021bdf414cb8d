//! What a follower lacks, as messages of a bounded size.

use crate::table::Delta;
use bytes::Bytes;
use llm_contract::push::{Name, wire};
use std::{iter::Peekable, vec};

/// The size from which on a message is not added to. It is passed by one document at most.
pub(crate) const PART_BYTES: usize = 1024 * 1024;
/// What a resource costs beside its name and its document.
const RESOURCE_BYTES: usize = 24;

/// The messages of one update; one at least.
pub(crate) struct Parts {
    sequence: u64,
    from: Vec<u8>,
    digest: Vec<u8>,
    removals: Peekable<vec::IntoIter<Name>>,
    upserts: Peekable<vec::IntoIter<(Name, Bytes)>>,
    ended: bool,
}

impl Parts {
    pub(crate) fn new(sequence: u64, delta: Delta) -> Self {
        let Delta { from, digest, change, published: _ } = delta;
        Self {
            sequence,
            from: from.map_or_else(Vec::new, |digest| digest.to_vec()),
            digest: digest.to_vec(),
            removals: change.removals.into_iter().peekable(),
            upserts: change.upserts.into_iter().peekable(),
            ended: false,
        }
    }
}

impl Iterator for Parts {
    type Item = wire::Update;

    fn next(&mut self) -> Option<wire::Update> {
        if self.ended {
            return None;
        }
        let (mut removals, mut upserts, mut bytes) = (Vec::new(), Vec::new(), 0);
        while bytes < PART_BYTES
            && let Some(name) = self.removals.next()
        {
            bytes += name.name.len() + RESOURCE_BYTES;
            removals.push(wire::Name { kind: name.kind.to_wire().into(), name: text(&name) });
        }
        let fits = |bytes: usize, document: &Bytes| {
            bytes == 0 || bytes + document.len() + RESOURCE_BYTES <= PART_BYTES
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
    use crate::table::Table;
    use llm_contract::push::{Change, Documents, Kind};
    use proptest::prelude::*;
    use prost::Message as _;

    fn whole(change: Change) -> Delta {
        let table = Table::new();
        table.publish(change, crate::clock::now());
        table.since(None).unwrap()
    }

    #[test]
    fn an_update_of_nothing_is_one_message() {
        let parts: Vec<_> = Parts::new(3, whole(Change::default())).collect();
        assert_eq!(parts.len(), 1);
        assert_eq!((parts[0].sequence, parts[0].more), (3, false));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn parts_are_bounded_and_together_are_the_update(
            sizes in proptest::collection::vec(0_usize..800_000, 0..12),
        ) {
            let documents = sizes.iter().enumerate().map(|(index, size)| {
                (Name::new(Kind::Routes, format!("models/m{index}")), vec![b' '; *size].into())
            });
            let delta = whole(Change { upserts: documents.collect(), removals: Vec::new() });
            let digest = delta.digest;
            let parts: Vec<_> = Parts::new(1, delta).collect();
            let last = parts.len() - 1;
            let mut gathered = Change::default();
            for (index, part) in parts.into_iter().enumerate() {
                prop_assert!(part.encoded_len() <= PART_BYTES + 1024);
                prop_assert_eq!(part.more, index < last);
                gathered.extend(part.upserts, part.removals).unwrap();
            }
            let mut received = Documents::default();
            received.apply(gathered);
            prop_assert_eq!(received.digest(), digest);
        }
    }
}
