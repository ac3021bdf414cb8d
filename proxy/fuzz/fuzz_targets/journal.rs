//! The copy of the table on disk: whatever the file holds, it is read as updates that follow on
//! one another or not at all; and whatever an operator sends comes back from its copy as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use llm_contract::{
    Table,
    push::{Change, Documents, Kind, Name},
};
use llm_proxy::{control_plane::{disk, journal, parts::Update, received::{Changes, NotApplied, Received}}, tables::Tables};

/// Which resource, and its document if there is one.
type Said<'a> = (u8, u8, Option<&'a str>);

struct Proxy(Received, Tables);

impl Proxy {
    fn of(updates: &[Update]) -> Self {
        let mut proxy = Self(Received::new(Table::BYTES_MAX), Tables::empty());
        for update in updates {
            let tables = &proxy.1;
            let apply = |changes: Changes| {
                let refused = tables.apply(changes).into_iter();
                let not_applied = |it: llm_proxy::tables::Refused| NotApplied {
                    name: it.name,
                    reason: it.conflict.to_string(),
                    keeps_last: it.keeps_last,
                };
                refused.map(not_applied).collect()
            };
            proxy.0.take(update.clone(), apply).expect("it follows on the one before");
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

fn sent(said: &[Vec<Said<'_>>]) -> Vec<Update> {
    let mut documents = Documents::default();
    let update = |said: &Vec<Said<'_>>| {
        let (from, mut change) = (Some(documents.digest()), Change::default());
        for (kind, number, text) in said {
            let name = name(*kind, *number);
            match text {
                Some(text) => change.upserts.push((name, (*text).to_owned().into())),
                None => change.removals.push(name),
            }
        }
        documents.apply(change.clone());
        Update { sequence: 0, from, digest: documents.digest(), change }
    };
    said.iter().map(update).collect()
}

fuzz_target!(|input: (bool, &[u8], Vec<Vec<Said<'_>>>)| {
    let (behind_header, bytes, said) = input;
    let bytes = if behind_header { [&journal::header(), bytes].concat() } else { bytes.to_vec() };
    if let Ok(updates) = disk::updates(&*bytes) {
        Proxy::of(&updates);
    }
    let updates = sent(&said);
    assert_eq!(disk::updates(&*disk::written(&updates)).expect("ours"), updates);
    let proxy = Proxy::of(&updates);
    let copy = Proxy::of(&disk::updates(&*disk::written(&proxy.0.replay())).expect("ours"));
    assert_eq!(copy.0.digest(), proxy.0.digest());
    assert!(copy.0.in_force().eq(proxy.0.in_force()));
    assert_eq!(copy.1.snapshot().resources(), proxy.1.snapshot().resources());
});
