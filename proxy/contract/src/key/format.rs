//! The format `sk-nb-<id>-<secret><check>`.

use crate::text::serde_as_text;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

const PREFIX: &str = "sk-nb-";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// An API key in clear; leaves this type by [`SecretKey::reveal`] only.
///
/// The text is `sk-nb-`, a public id of 12 base32 characters, `-`, a secret of 43 base62
/// characters (256 bits), and 6 base62 characters of CRC-32 over all before them, so that a
/// typo is refused without hashing.
///
/// ```
/// use llm_contract::{SecretKey, KeyId};
/// let id = KeyId::parse("abcdefgh2345").unwrap();
/// let key = SecretKey::assemble(&id, &[b'x'; SecretKey::SECRET_BYTES]);
/// assert_eq!(SecretKey::parse(key.reveal()).unwrap().id(), id);
/// assert_eq!(format!("{key:?}"), "SecretKey(abcdefgh2345, [redacted])");
/// ```
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey {
    text: [u8; Self::BYTES],
}

/// The public id of an API key, as lists and logs name it.
///
/// ```
/// assert!(llm_contract::KeyId::parse("abcdefgh2345").is_ok());
/// assert!(llm_contract::KeyId::parse("ABCDEFGH2345").is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; Self::BYTES]);

/// Why a text is not a key or key id; never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Not `sk-nb-<id>-<secret>` of [`SecretKey::BYTES`] bytes.
    #[error("not of the form sk-nb-<id>-<secret>")]
    Format,
    /// The CRC-32 does not match: a typo.
    #[error("the key has a typo")]
    Checksum,
    /// Not [`KeyId::BYTES`] characters of base32.
    #[error("a key id has {} characters of a-z and 2-7", KeyId::BYTES)]
    Id,
}

impl SecretKey {
    /// The characters of the secret part.
    pub const SECRET_BYTES: usize = 43;
    /// The characters of a whole key.
    pub const BYTES: usize = PREFIX.len() + KeyId::BYTES + 1 + Self::SECRET_BYTES + CHECK_BYTES;
    /// The characters a secret is made of.
    pub const ALPHABET: &'static [u8; 62] = BASE62;

    /// Builds a key; `secret` must be random base62 characters.
    pub fn assemble(id: &KeyId, secret: &[u8; Self::SECRET_BYTES]) -> Self {
        let body = [PREFIX.as_bytes(), &id.0, b"-", secret].concat();
        let mut text = [0; Self::BYTES];
        for (to, from) in text.iter_mut().zip(body.iter().copied().chain(check(&body))) {
            *to = from;
        }
        Self { text }
    }

    /// Parses a key; detects typos without hashing.
    ///
    /// # Errors
    /// [`InvalidKey::Format`] or [`InvalidKey::Checksum`].
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let bytes: [u8; Self::BYTES] =
            text.as_bytes().try_into().map_err(|_length| InvalidKey::Format)?;
        let key = Self { text: bytes };
        let rest = bytes.strip_prefix(PREFIX.as_bytes()).ok_or(InvalidKey::Format)?;
        let (id, rest) = rest.split_at_checked(KeyId::BYTES).ok_or(InvalidKey::Format)?;
        let secret = rest.strip_prefix(b"-").ok_or(InvalidKey::Format)?;
        if !id.iter().all(is_base32) || !secret.iter().all(u8::is_ascii_alphanumeric) {
            return Err(InvalidKey::Format);
        }
        let (body, given) = bytes.split_at(Self::BYTES - CHECK_BYTES);
        if check(body) != given {
            return Err(InvalidKey::Checksum);
        }
        Ok(key)
    }

    /// The public id.
    pub fn id(&self) -> KeyId {
        let mut id = [0; KeyId::BYTES];
        for (to, from) in id.iter_mut().zip(self.text.iter().skip(PREFIX.len())) {
            *to = *from;
        }
        KeyId(id)
    }

    /// Everything after the id, in clear: to compare with a record found by id.
    pub fn secret(&self) -> &[u8] {
        self.text.get(PREFIX.len() + KeyId::BYTES..).unwrap_or_default()
    }

    /// The key in clear: to show once to its owner, or to hash.
    pub fn reveal(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, [redacted])", self.id())
    }
}

impl KeyId {
    /// The length of an id.
    pub const BYTES: usize = 12;
    /// The characters an id is made of (RFC 4648 base32, lower case).
    pub const ALPHABET: &'static [u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

    /// Parses an id; the only error is [`InvalidKey::Id`].
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let bytes: [u8; Self::BYTES] =
            text.as_bytes().try_into().map_err(|_length| InvalidKey::Id)?;
        if bytes.iter().all(is_base32) { Ok(Self(bytes)) } else { Err(InvalidKey::Id) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

serde_as_text!(KeyId, InvalidKey);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const CHECK_BYTES: usize = 6;

/// CRC-32 of the key without its check characters, in base62, most significant first.
fn check(body: &[u8]) -> [u8; CHECK_BYTES] {
    let mut rest = crc32fast::hash(body) as usize;
    let mut digits = [b'0'; CHECK_BYTES];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62.get(rest % BASE62.len()).copied().unwrap_or(b'0');
        rest /= BASE62.len();
    }
    digits
}

fn is_base32(byte: &u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'2'..=b'7')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> SecretKey {
        SecretKey::assemble(&KeyId::parse("abcdefgh2345").unwrap(), &[b'x'; 43])
    }

    #[test]
    fn an_assembled_key_parses() {
        assert_eq!(SecretKey::parse(key().reveal()).unwrap().reveal(), key().reveal());
    }

    #[test]
    fn debug_output_never_holds_the_secret() {
        assert!(!format!("{:?}", key()).contains("xxx"));
    }

    #[test]
    fn malformed_keys_are_rejected() {
        for text in ["", "sk-nb-", "sk-abc", &"x".repeat(68), &key().reveal().to_uppercase()] {
            assert!(SecretKey::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_single_typo_is_rejected(at in 0..SecretKey::BYTES, byte in 33u8..127) {
            let mut text = key().reveal().as_bytes().to_vec();
            prop_assume!(text[at] != byte);
            text[at] = byte;
            prop_assert!(SecretKey::parse(std::str::from_utf8(&text).unwrap()).is_err());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,80}") {
            let _ = SecretKey::parse(&text);
        }
    }
}
