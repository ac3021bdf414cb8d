//! The file format of the cache: updates as length-prefixed protobuf messages.
//!
//! A header is followed by records: the length, its CRC-32, the message, and its CRC-32. So a
//! record that was not written to its end is distinguished from corruption.

use crate::control_plane::reassembly::{InvalidUpdate, TableUpdate, UpdateAssembler};
use bytes::Bytes;
use llm_contract::{
    Table,
    push::{Documents, UpdateChunks, wire},
};
use prost::Message as _;
use std::io::{self, Read, Write};

const MAGIC: &[u8; 8] = b"LLMTABLE";
/// The version of this format.
const FORMAT: u32 = 1;
/// The largest message, also on the wire.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum InvalidJournal {
    #[error("reading it")]
    Read(#[from] io::Error),
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
        let mut found = [0; MAGIC.len() + 12];
        if !fill(&mut from, &mut found)? {
            return Err(InvalidJournal::Magic);
        }
        let (fields, checksum) = found.split_at(MAGIC.len() + 8);
        let mut numbers =
            fields.as_chunks::<4>().0.iter().map(|it| u32::from_le_bytes(*it)).skip(2);
        if !fields.starts_with(MAGIC) || crc32fast::hash(fields).to_le_bytes() != checksum {
            return Err(InvalidJournal::Magic);
        }
        let (format, schema) =
            (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        if (format, schema) != (FORMAT, Table::VERSION) {
            return Err(InvalidJournal::Version { format, schema });
        }
        Ok(Self { from, at: found.len() as u64 })
    }

    /// `None` at the end, or before an incomplete record.
    fn next_message(&mut self) -> Result<Option<wire::Update>, InvalidJournal> {
        let at = self.at;
        let mut start = [0; 8];
        if !fill(&mut self.from, &mut start)? {
            return Ok(None);
        }
        let [a, b, c, d, checksum @ ..] = start;
        if crc32fast::hash(&[a, b, c, d]).to_le_bytes() != checksum {
            return Err(InvalidJournal::Checksum { at });
        }
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if MESSAGE_BYTES_MAX < length {
            return Err(InvalidJournal::TooLarge { at });
        }
        let mut body = vec![0; length];
        let mut checksum = [0; 4];
        if !(fill(&mut self.from, &mut body)? && fill(&mut self.from, &mut checksum)?) {
            return Ok(None);
        }
        if crc32fast::hash(&body).to_le_bytes() != checksum {
            return Err(InvalidJournal::Checksum { at });
        }
        self.at += (start.len() + length + checksum.len()) as u64;
        let message = wire::Update::decode(Bytes::from(body));
        message.map(Some).map_err(|source| InvalidJournal::Message { at, source })
    }
}

/// Whether there were enough bytes.
fn fill(from: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
