//! What a file's bytes must come to.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What a file's bytes must come to. The hub gives a SHA-256 for what is in large file storage,
/// and git's own id, a SHA-1 over a header and the bytes, for what is in git.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Checksum {
    Sha256([u8; 32]),
    GitBlob([u8; 20]),
}

/// A checksum that is being computed.
#[derive(Clone)]
pub(crate) struct Hasher {
    context: Context,
}

/// Why a text is no checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a checksum is `sha256:` and 64, or `git-sha1:` and 40 hexadecimal digits")]
pub(crate) struct InvalidChecksum;

impl Checksum {
    /// Reads an `ETag` of the hub: 64 digits are a SHA-256, 40 are git's.
    pub(crate) fn from_etag(etag: &str) -> Option<Self> {
        let etag = etag.trim_start_matches("W/").trim_matches('"');
        hex(etag).map(Self::Sha256).or_else(|| hex(etag).map(Self::GitBlob))
    }

    pub(crate) fn from_sha256(digits: &str) -> Option<Self> {
        hex(digits).map(Self::Sha256)
    }

    /// Begins to compute one like this, of a file with so many bytes.
    pub(crate) fn hasher(&self, size: u64) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::sha256(),
            Self::GitBlob(_) => {
                let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
                context.update(format!("blob {size}\0").as_bytes());
                Hasher { context }
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
        Self { context: Context::new(&SHA256) }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// Whether what was seen so far comes to this.
    pub(crate) fn comes_to(&self, checksum: &Checksum) -> bool {
        self.context.clone().finish().as_ref() == checksum.bytes()
    }

    /// The checksum of what was seen so far, if this computes a SHA-256.
    pub(crate) fn sha256_so_far(&self) -> Checksum {
        let mut bytes = [0; 32];
        for (byte, digest) in bytes.iter_mut().zip(self.context.clone().finish().as_ref()) {
            *byte = *digest;
        }
        Checksum::Sha256(bytes)
    }

    /// The hexadecimal digits of what was seen so far.
    pub(crate) fn digits(&self) -> String {
        self.context.clone().finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256(_) => "sha256:",
            Self::GitBlob(_) => "git-sha1:",
        })?;
        self.bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Checksum {
    type Err = InvalidChecksum;

    fn from_str(text: &str) -> Result<Self, InvalidChecksum> {
        let (kind, digits) = text.split_once(':').ok_or(InvalidChecksum)?;
        match kind {
            "sha256" => hex(digits).map(Self::Sha256),
            "git-sha1" => hex(digits).map(Self::GitBlob),
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

/// So many bytes from twice as many hexadecimal digits.
fn hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
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
    fn a_git_id_is_what_git_says_it_is() {
        // printf 'hello\n' | git hash-object --stdin
        let checksum = Checksum::from_etag("\"ce013625030ba8dba906f756967f9e9ca394464a\"").unwrap();
        let mut hasher = checksum.hasher(6);
        hasher.update(b"hello\n");
        assert!(hasher.comes_to(&checksum));
    }

    #[test]
    fn an_etag_is_a_checksum_by_its_length() {
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
    fn a_checksum_reads_back_what_it_writes() {
        let text = "git-sha1:ce013625030ba8dba906f756967f9e9ca394464a";
        assert_eq!(
            text.parse::<Checksum>().map(|checksum| checksum.to_string()).as_deref(),
            Ok(text)
        );
    }
}
