//! The cached table: any file is decoded as updates that continue from each other or rejected, and
//! whatever an operator sends round-trips through the cache.
#![no_main]

use libfuzzer_sys::fuzz_target;
use llm_contract::{
    Table,
    push::{Change, Documents, Kind, Name},
};
use llm_proxy::{
    control_plane::{
        cache::journal,
        reassembly::TableUpdate,
        replica::{Changes, RejectedDocument, TableReplica},
    },
    tables::Tables,
};

/// Kind and number of a resource, and its document unless it is removed.
type Edit<'a> = (u8, u8, Option<&'a str>);

struct Proxy(TableReplica, Tables);

impl Proxy {
    fn new(updates: &[TableUpdate]) -> Self {
        let mut proxy = Self(TableReplica::new(Table::BYTES_MAX), Tables::empty());
        for update in updates {
            let tables = &proxy.1;
            let apply = |changes: Changes| {
                tables.apply(changes).into_iter().map(RejectedDocument::from).collect()
            };
            proxy.0.update(update.clone(), apply).expect("it continues from the one before");
        }
        proxy
    }
}

fn name(kind: u8, number: u8) -> Name {
    let letter = char::from(b'a' + number % 4);
    match kind % 4 {
        0 => Name::new(Kind::Routes, format!("models/{letter}")),
        1 => Name::new(Kind::Key, format!("abcdefgh234{letter}")),
        2 => Name::new(Kind::Issuers, ""),
        _ => Name::new(Kind::Settings, ""),
    }
}

fn updates(edits: &[Vec<Edit<'_>>]) -> Vec<TableUpdate> {
    let mut documents = Documents::default();
    let update = |edits: &Vec<Edit<'_>>| {
        let (from, mut change) = (Some(documents.digest()), Change::default());
        for (kind, number, text) in edits {
            let name = name(*kind, *number);
            match text {
                Some(text) => change.upserts.push((name, (*text).to_owned().into())),
                None => change.removals.push(name),
            }
        }
        documents.apply(change.clone());
        TableUpdate { sequence: 0, from, digest: documents.digest(), change }
    };
    edits.iter().map(update).collect()
}

fn encode(updates: &[TableUpdate]) -> Vec<u8> {
    let mut file = journal::header();
    updates.iter().for_each(|it| journal::write(&mut file, it.clone()).expect("in memory"));
    file
}

fuzz_target!(|input: (bool, &[u8], Vec<Vec<Edit<'_>>>)| {
    let (has_header, bytes, edits) = input;
    let bytes = if has_header { [&journal::header(), bytes].concat() } else { bytes.to_vec() };
    if let Ok(updates) = journal::decode(&*bytes) {
        Proxy::new(&updates);
    }
    let updates = updates(&edits);
    assert_eq!(journal::decode(&*encode(&updates)).expect("encoded above"), updates);
    let proxy = Proxy::new(&updates);
    let cached = journal::decode(&*encode(&proxy.0.replay())).expect("encoded above");
    let copy = Proxy::new(&cached);
    assert_eq!(copy.0.digest(), proxy.0.digest());
    assert!(copy.0.applied().eq(proxy.0.applied()));
    assert_eq!(copy.1.snapshot().resources(), proxy.1.snapshot().resources());
});
