//! The copy of the table on disk: whatever the file holds, it is read as updates that follow on
//! one another or not at all, and what was read comes back as it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use llm_contract::Table;
use llm_proxy::{
    feed::{disk, journal, received::Received},
    tables::Tables,
};

fuzz_target!(|input: (bool, &[u8])| {
    let (behind_header, bytes) = input;
    let bytes = if behind_header { [&journal::header(), bytes].concat() } else { bytes.to_vec() };
    let Ok(updates) = disk::updates(&*bytes) else { return };
    let (tables, mut received) = (Tables::empty(), Received::new(Table::BYTES_MAX));
    for update in &updates {
        let apply = |changes| {
            tables.apply(changes);
            Vec::new()
        };
        received.take(update.clone(), apply).expect("it was looked at");
    }
    assert_eq!(disk::updates(&*disk::written(&updates)).expect("ours"), updates);
});
