//! Checksums of files.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use serde::{Deserialize, Serialize};
use std::fmt;

const SHA256_PREFIX: &str = "sha256:";
const GIT_PREFIX: &str = "git-sha1:";

/// The checksum of a file: a SHA-256 for large file storage; for files in git its object id, a
/// SHA-1 over a header and the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Checksum(String);

/// A checksum in the making.
#[derive(Clone)]
pub(crate) struct Hasher {
    prefix: &'static str,
    context: Context,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a checksum is `sha256:` and 64, or `git-sha1:` and 40 hexadecimal digits")]
pub(crate) struct InvalidChecksum;

impl Checksum {
    /// Parses an `ETag` of the hub: 64 digits are a SHA-256, 40 are git's.
    pub(crate) fn from_etag(etag: &str) -> Option<Self> {
        let digits = etag.trim_start_matches("W/").trim_matches('"');
        let git = || format!("{GIT_PREFIX}{digits}").try_into().ok();
        Self::from_sha256(digits).or_else(git)
    }

    pub(crate) fn from_sha256(digits: &str) -> Option<Self> {
        format!("{SHA256_PREFIX}{digits}").try_into().ok()
    }

    /// A hasher of this kind for a file of `size` bytes.
    pub(crate) fn hasher(&self, size: u64) -> Hasher {
        if self.0.starts_with(SHA256_PREFIX) {
            return Hasher::sha256();
        }
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(format!("blob {size}\0").as_bytes());
        Hasher { prefix: GIT_PREFIX, context }
    }
}

impl Hasher {
    pub(crate) fn sha256() -> Self {
        Self { prefix: SHA256_PREFIX, context: Context::new(&SHA256) }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// The checksum so far.
    pub(crate) fn checksum(&self) -> Checksum {
        Checksum(format!("{}{}", self.prefix, self.hex()))
    }

    /// The digest so far, in hexadecimal digits.
    pub(crate) fn hex(&self) -> String {
        self.context.clone().finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for Checksum {
    type Error = InvalidChecksum;

    fn try_from(text: String) -> Result<Self, InvalidChecksum> {
        let sha256 = text.strip_prefix(SHA256_PREFIX).filter(|digits| digits.len() == 64);
        let git = text.strip_prefix(GIT_PREFIX).filter(|digits| digits.len() == 40);
        match sha256.or(git) {
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                Ok(Self(text.to_ascii_lowercase()))
            }
            _ => Err(InvalidChecksum),
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
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
        assert_eq!(hasher.checksum(), checksum);
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
        let parsed = Checksum::try_from(text.to_owned()).map(|checksum| checksum.to_string());
        assert_eq!(parsed.as_deref(), Ok(text));
    }
}
