//! The file format of the cache: updates as length-prefixed protobuf messages.
//!
//! A header is followed by records: the length, its CRC-32, the message, and its CRC-32. So a
//! record that was not written to its end is distinguished from corruption.

use crate::control_plane::reassembly::{InvalidUpdate, TableUpdate, UpdateAssembler};
use bytes::{Buf as _, Bytes};
use llm_contract::{
    Table,
    push::{Documents, UpdateChunks, wire},
};
use prost::Message as _;
use std::io::{self, Read, Write};

const MAGIC: &[u8; 8] = b"LLMTABLE";
const CHECKSUM_BYTES: u64 = 4;
/// The version of this format.
const FORMAT: u32 = 1;
/// A table, and as much in changes.
pub(super) const FILE_BYTES_MAX: u64 = 2 * Table::BYTES_MAX as u64 + 64 * 1024 * 1024;
/// The largest message, also on the wire.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum InvalidJournal {
    #[error("reading it")]
    Read(#[from] io::Error),
    #[error("it is larger than {FILE_BYTES_MAX} bytes")]
    FileTooLarge,
    #[error("it is not a cached table")]
    Magic,
    #[error(
        "it is of format {format} and schema {schema}; this program reads {FORMAT} and {}",
        Table::VERSION
    )]
    Version { format: u32, schema: u32 },
    #[error("the record at byte {at} is corrupt")]
    Checksum { at: u64 },
    #[error("the record at byte {at} is larger than {MESSAGE_BYTES_MAX} bytes")]
    TooLarge { at: u64 },
    #[error("the record at byte {at} is no update")]
    Message { at: u64, source: prost::DecodeError },
    #[error(transparent)]
    Update(#[from] InvalidUpdate),
}

/// Reads all complete updates, each of which must continue from the one before.
pub fn decode(from: impl Read) -> Result<Vec<TableUpdate>, InvalidJournal> {
    let mut reader = Reader::new(from)?;
    let mut assembler = UpdateAssembler::new(Table::BYTES_MAX);
    let (mut documents, mut updates) = (Documents::default(), Vec::new());
    while let Some(chunk) = reader.next_message()? {
        let Some(update) = assembler.add(chunk)? else {
            continue;
        };
        let ours = documents.digest();
        match update.from {
            None => documents = Documents::default(),
            Some(from) if from != ours => {
                return Err(InvalidUpdate::OtherBase { from, ours }.into());
            }
            Some(_) => {}
        }
        documents.apply(update.change.clone());
        let (expected, found) = (update.digest, documents.digest());
        if found != expected {
            return Err(InvalidUpdate::OtherDigest { expected, found }.into());
        }
        updates.push(update);
    }
    Ok(updates)
}

/// Appends an update to a file.
pub fn write(file: &mut impl Write, update: TableUpdate) -> io::Result<()> {
    chunks(update).try_for_each(|chunk| file.write_all(&record(&chunk)))
}

/// A file does not acknowledge, so that the sequence is meaningless.
pub(super) fn chunks(update: TableUpdate) -> UpdateChunks {
    update.change.into_chunks(0, update.from, update.digest)
}

/// The start of a file.
pub fn header() -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend(FORMAT.to_le_bytes());
    header.extend(Table::VERSION.to_le_bytes());
    header.extend(crc32fast::hash(&header).to_le_bytes());
    header
}

fn record(message: &wire::Update) -> Vec<u8> {
    let body = message.encode_to_vec();
    // Larger messages are rejected before they are cached.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    let checksum = |bytes: &[u8]| crc32fast::hash(bytes).to_le_bytes();
    [&length[..], &checksum(&length), &body, &checksum(&body)].concat()
}

struct Reader<R> {
    from: R,
    at: u64,
}

impl<R: Read> Reader<R> {
    fn new(mut from: R) -> Result<Self, InvalidJournal> {
        let fields = match read_checked(&mut from, MAGIC.len() + 8, 0) {
            Ok(Some(fields)) if fields.starts_with(MAGIC) => fields,
            Ok(_) | Err(InvalidJournal::Checksum { .. }) => return Err(InvalidJournal::Magic),
            Err(error) => return Err(error),
        };
        let at = fields.len() as u64 + CHECKSUM_BYTES;
        let mut fields = Bytes::from(fields).split_off(MAGIC.len());
        let (format, schema) = (fields.get_u32_le(), fields.get_u32_le());
        if (format, schema) != (FORMAT, Table::VERSION) {
            return Err(InvalidJournal::Version { format, schema });
        }
        Ok(Self { from, at })
    }

    /// `None` at the end, or before an incomplete record.
    fn next_message(&mut self) -> Result<Option<wire::Update>, InvalidJournal> {
        let at = self.at;
        let Some(length) = read_checked(&mut self.from, 4, at)? else { return Ok(None) };
        let length = Bytes::from(length).get_u32_le() as usize;
        if MESSAGE_BYTES_MAX < length {
            return Err(InvalidJournal::TooLarge { at });
        }
        let Some(body) = read_checked(&mut self.from, length, at)? else { return Ok(None) };
        self.at += 4 + length as u64 + 2 * CHECKSUM_BYTES;
        let message = wire::Update::decode(Bytes::from(body));
        message.map(Some).map_err(|source| InvalidJournal::Message { at, source })
    }
}

/// Reads bytes and their CRC-32; `None` if there are not enough.
fn read_checked(
    from: &mut impl Read,
    length: usize,
    at: u64,
) -> Result<Option<Vec<u8>>, InvalidJournal> {
    let (mut bytes, mut checksum) = (vec![0; length], [0; 4]);
    match from.read_exact(&mut bytes).and_then(|()| from.read_exact(&mut checksum)) {
        Ok(()) if crc32fast::hash(&bytes).to_le_bytes() == checksum => Ok(Some(bytes)),
        Ok(()) => Err(InvalidJournal::Checksum { at }),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
