use super::*;
use proptest::prelude::*;

fn message(document: &[u8]) -> wire::Update {
    let resource = wire::Resource {
        kind: wire::Kind::Routes.into(),
        name: "models/qwen3".into(),
        document: Bytes::copy_from_slice(document),
    };
    wire::Update { digest: vec![7; 32], upserts: vec![resource], ..wire::Update::default() }
}

fn file(messages: &[wire::Update]) -> Vec<u8> {
    let records = messages.iter().flat_map(record);
    header().into_iter().chain(records).collect()
}

fn read(file: &[u8]) -> Result<Vec<wire::Update>, InvalidJournal> {
    let mut reader = Reader::new(file)?;
    let mut messages = Vec::new();
    while let Some(message) = reader.next_message()? {
        messages.push(message);
    }
    Ok(messages)
}

fn messages() -> Vec<wire::Update> {
    [b"one".as_slice(), b"", b"three"].map(message).into()
}

#[test]
fn a_journal_round_trips() {
    assert_eq!(read(&file(&messages())).unwrap(), messages());
}

#[test]
fn a_truncated_file_loses_only_the_incomplete_record() {
    let whole = file(&messages());
    for end in header().len()..whole.len() {
        let read = read(&whole[..end]).unwrap();
        assert_eq!(read, messages()[..read.len()], "{end}");
        assert!(read.len() < messages().len(), "{end}");
    }
}

#[test]
fn an_error_names_the_version_of_the_file() {
    let mut old = MAGIC.to_vec();
    old.extend(FORMAT.to_le_bytes());
    old.extend(0_u32.to_le_bytes());
    old.extend(crc32fast::hash(&old).to_le_bytes());
    let error = read(&old).unwrap_err().to_string();
    assert_eq!(error, "it is of format 1 and schema 0; this program reads 1 and 1");
    assert!(matches!(read(b""), Err(InvalidJournal::Magic)));
    assert!(matches!(read(b"LLMTABLE and something else"), Err(InvalidJournal::Magic)));
}

#[test]
fn a_record_larger_than_any_message_is_rejected() {
    let mut file = header();
    let length = u32::MAX.to_le_bytes();
    file.extend(length);
    file.extend(crc32fast::hash(&length).to_le_bytes());
    assert!(matches!(read(&file), Err(InvalidJournal::TooLarge { at: 20 })));
}

proptest! {
    #[test]
    fn a_changed_byte_anywhere_is_detected(at: prop::sample::Index, by in 1..=255_u8) {
        let mut file = file(&messages());
        let at = at.index(file.len());
        file[at] ^= by;
        prop_assert!(read(&file).is_err());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        let _ = read(&bytes);
        let _ = read(&[header(), bytes].concat());
    }
}
