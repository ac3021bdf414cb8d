//! Checksums of files.

use ring::digest::{Context, Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The checksum of a file: a SHA-256 for large file storage; for files in git its object id, a
/// SHA-1 over a header and the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Checksum {
    Sha256([u8; 32]),
    GitBlob([u8; 20]),
}

/// A checksum in the making.
#[derive(Clone)]
pub(crate) struct Hasher(Context);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a checksum is `sha256:` and 64, or `git-sha1:` and 40 hexadecimal digits")]
pub(crate) struct InvalidChecksum;

impl Checksum {
    /// Parses an `ETag` of the hub: 64 digits are a SHA-256, 40 are git's.
    pub(crate) fn from_etag(etag: &str) -> Option<Self> {
        let etag = etag.trim_start_matches("W/").trim_matches('"');
        Self::from_sha256(etag).or_else(|| parse_hex(etag).map(Self::GitBlob))
    }

    pub(crate) fn from_sha256(digits: &str) -> Option<Self> {
        parse_hex(digits).map(Self::Sha256)
    }

    /// A hasher of this kind for a file of `size` bytes.
    pub(crate) fn hasher(&self, size: u64) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::sha256(),
            Self::GitBlob(_) => {
                let mut hasher = Hasher(Context::new(&SHA1_FOR_LEGACY_USE_ONLY));
                hasher.update(format!("blob {size}\0").as_bytes());
                hasher
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(digest) => digest,
            Self::GitBlob(digest) => digest,
        }
    }
}

impl Hasher {
    pub(crate) fn sha256() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn matches(&self, checksum: &Checksum) -> bool {
        self.digest().as_ref() == checksum.bytes()
    }

    /// The digest so far, in hexadecimal digits.
    pub(crate) fn hex(&self) -> String {
        hex(self.digest().as_ref())
    }

    /// The digest so far, of a hasher made by [`Self::sha256`].
    pub(crate) fn sha256_checksum(&self) -> Checksum {
        Checksum::Sha256(self.digest().as_ref().try_into().unwrap_or_default())
    }

    fn digest(&self) -> Digest {
        self.0.clone().finish()
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Sha256(_) => "sha256",
            Self::GitBlob(_) => "git-sha1",
        };
        write!(f, "{kind}:{}", hex(self.bytes()))
    }
}

impl FromStr for Checksum {
    type Err = InvalidChecksum;

    fn from_str(text: &str) -> Result<Self, InvalidChecksum> {
        match text.split_once(':') {
            Some(("sha256", digits)) => Self::from_sha256(digits),
            Some(("git-sha1", digits)) => parse_hex(digits).map(Self::GitBlob),
            _ => None,
        }
        .ok_or(InvalidChecksum)
    }
}

impl TryFrom<String> for Checksum {
    type Error = InvalidChecksum;

    fn try_from(text: String) -> Result<Self, InvalidChecksum> {
        text.parse()
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> Self {
        checksum.to_string()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse_hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    if digits.len() != 2 * N || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..digits.len()).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_git_checksum_equals_the_id_of_git_hash_object() {
        // printf 'hello\n' | git hash-object --stdin
        let checksum = Checksum::from_etag("\"ce013625030ba8dba906f756967f9e9ca394464a\"").unwrap();
        let mut hasher = checksum.hasher(6);
        hasher.update(b"hello\n");
        assert!(hasher.matches(&checksum));
    }

    #[test]
    fn the_length_of_an_etag_tells_its_kind() {
        for (etag, is) in [
            ("\"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\"", true),
            ("W/\"ce013625030ba8dba906f756967f9e9ca394464a\"", true),
            ("\"5f3759df-1\"", false),
            ("", false),
            ("zz013625030ba8dba906f756967f9e9ca394464a", false),
        ] {
            assert_eq!(Checksum::from_etag(etag).is_some(), is, "{etag}");
        }
    }

    #[test]
    fn a_checksum_parses_its_own_text() {
        let text = "git-sha1:ce013625030ba8dba906f756967f9e9ca394464a";
        assert_eq!(
            text.parse::<Checksum>().map(|checksum| checksum.to_string()).as_deref(),
            Ok(text)
        );
    }
}
