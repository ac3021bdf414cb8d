//! Updates as they are kept in a file: one after the other, each behind its length and followed
//! by its CRC-32; the length has a CRC-32 too. So an end that was torn off is told from damage.

use bytes::Bytes;
use llm_contract::{Table, push::wire};
use prost::Message as _;
use std::io::{self, Read};

/// What such a file begins with.
const MAGIC: &[u8; 8] = b"LLMTABLE";
/// The version of this format.
const FORMAT: u32 = 1;
/// The largest message, in bytes: as on the wire.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Damaged {
    /// The system does not let us.
    #[error("reading it")]
    Read(#[from] io::Error),
    /// Something else, or damaged where it begins.
    #[error("it is no copy of a table")]
    Magic,
    /// Written by another version of the program.
    #[error(
        "it is of format {format} and schema {schema}; this program reads {FORMAT} and {}",
        Table::VERSION
    )]
    Version {
        /// Of the file.
        format: u32,
        /// Of the documents.
        schema: u32,
    },
    /// What was written is not what is there.
    #[error("it is damaged at byte {at}")]
    Checksum {
        /// Where the record begins.
        at: u64,
    },
    /// Larger than any message.
    #[error("the record at byte {at} is larger than {MESSAGE_BYTES_MAX} bytes")]
    TooLarge {
        /// Where the record begins.
        at: u64,
    },
    /// It is whole, and no message.
    #[error("the record at byte {at} is no update")]
    Message {
        /// Where the record begins.
        at: u64,
        /// What is wrong with it.
        source: prost::DecodeError,
    },
}

/// How a file begins.
pub fn header() -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend(FORMAT.to_le_bytes());
    header.extend(Table::VERSION.to_le_bytes());
    header.extend(crc32fast::hash(&header).to_le_bytes());
    header
}

/// Adds a message to what is to be written.
pub fn record(message: &wire::Update, out: &mut Vec<u8>) {
    let body = message.encode_to_vec();
    // Whatever is larger was refused long before.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    out.extend(length);
    out.extend(crc32fast::hash(&length).to_le_bytes());
    out.extend(&body);
    out.extend(crc32fast::hash(&body).to_le_bytes());
}

/// Reads such a file.
pub struct Reader<R> {
    from: R,
    at: u64,
}

impl<R: Read> Reader<R> {
    /// Reads how the file begins.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn new(mut from: R) -> Result<Self, Damaged> {
        let mut found = [0; MAGIC.len() + 12];
        if !fill(&mut from, &mut found)? {
            return Err(Damaged::Magic);
        }
        let (fields, checksum) = found.split_at(MAGIC.len() + 8);
        let mut numbers =
            fields.as_chunks::<4>().0.iter().map(|it| u32::from_le_bytes(*it)).skip(2);
        if !fields.starts_with(MAGIC) || crc32fast::hash(fields).to_le_bytes() != checksum {
            return Err(Damaged::Magic);
        }
        let (format, schema) =
            (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        if (format, schema) != (FORMAT, Table::VERSION) {
            return Err(Damaged::Version { format, schema });
        }
        Ok(Self { from, at: found.len() as u64 })
    }

    /// The next message; `None` at the end, also if the last one was not written to its end.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn next_message(&mut self) -> Result<Option<wire::Update>, Damaged> {
        let at = self.at;
        let mut start = [0; 8];
        if !fill(&mut self.from, &mut start)? {
            return Ok(None);
        }
        let [a, b, c, d, checksum @ ..] = start;
        if crc32fast::hash(&[a, b, c, d]).to_le_bytes() != checksum {
            return Err(Damaged::Checksum { at });
        }
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if MESSAGE_BYTES_MAX < length {
            return Err(Damaged::TooLarge { at });
        }
        let mut body = vec![0; length];
        let mut checksum = [0; 4];
        if !(fill(&mut self.from, &mut body)? && fill(&mut self.from, &mut checksum)?) {
            return Ok(None);
        }
        if crc32fast::hash(&body).to_le_bytes() != checksum {
            return Err(Damaged::Checksum { at });
        }
        self.at += (start.len() + length + checksum.len()) as u64;
        let message = wire::Update::decode(Bytes::from(body));
        message.map(Some).map_err(|source| Damaged::Message { at, source })
    }
}

/// Reads as many bytes as there are places; whether there were so many.
fn fill(from: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
