//! Stored key hashes: argon2id as a PHC string.

use crate::{Secret, SecretKey, text::serde_as_text};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};
use subtle::ConstantTimeEq;

const OUTPUT_BYTES: usize = 32;

/// The stored hash of a key, as `$argon2id$v=19$m=..,t=..,p=..$<salt>$<output>`.
///
/// ```
/// use llm_contract::{SecretKey, Hashing, KeyHash, KeyId};
/// let key = SecretKey::assemble(&KeyId::parse("abcdefgh2345").unwrap(), &[b'x'; 43]);
/// let hash = KeyHash::of(&key, Hashing::MINTED, [7; 16], None).unwrap();
/// assert!(KeyHash::parse(&hash.to_string()).unwrap().matches(&key, None));
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyHash {
    cost: Hashing,
    salt: Box<[u8]>,
    output: [u8; OUTPUT_BYTES],
}

/// The cost parameters of argon2id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Iterations.
    pub passes: u32,
    /// Degree of parallelism.
    pub lanes: u32,
}

/// A secret that a stolen hash cannot be attacked without.
#[derive(Clone, Debug)]
pub struct Pepper(Arc<Secret>);

/// Why a text is not a key hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyHash {
    /// Not a PHC string of argon2id with a 32-byte output.
    #[error("not of the form $argon2id$v=19$m=..,t=..,p=..$<salt>$<hash of 32 bytes>")]
    Format,
    /// Out of bounds: a document must not decide what verification costs.
    #[error(
        "the hash costs too much or is too weak: m from 64 to {} KiB, t from 1 to {}, p from 1 to {}",
        Hashing::MAX.memory_kib, Hashing::MAX.passes, Hashing::MAX.lanes
    )]
    Cost,
}

impl Hashing {
    /// For minted keys: with 256 random bits the hash may be fast.
    pub const MINTED: Self = Self { memory_kib: 512, passes: 1, lanes: 1 };
    /// The upper bound for documents.
    pub const MAX: Self = Self { memory_kib: 64 * 1024, passes: 8, lanes: 4 };

    fn check(self) -> Result<Params, InvalidKeyHash> {
        let Self { memory_kib, passes, lanes } = self;
        let fits = (64..=Self::MAX.memory_kib).contains(&memory_kib)
            && (1..=Self::MAX.passes).contains(&passes)
            && (1..=Self::MAX.lanes).contains(&lanes);
        if !fits {
            return Err(InvalidKeyHash::Cost);
        }
        Params::new(memory_kib, passes, lanes, Some(OUTPUT_BYTES))
            .map_err(|_params| InvalidKeyHash::Cost)
    }
}

impl Pepper {
    /// The bytes of a pepper that are used; the rest is ignored.
    pub const BYTES_MAX: usize = 1024;

    /// Wraps a pepper.
    pub fn new(secret: Secret) -> Self {
        Self(Arc::new(secret))
    }

    fn bytes(&self) -> &[u8] {
        let bytes = self.0.reveal().as_bytes();
        bytes.get(..Self::BYTES_MAX).unwrap_or(bytes)
    }
}

impl KeyHash {
    /// Hashes a key; takes about 1 ms of CPU at [`Hashing::MINTED`].
    ///
    /// `salt` must be random.
    ///
    /// # Errors
    /// [`InvalidKeyHash::Cost`] if the cost is out of range.
    pub fn of(
        key: &SecretKey,
        cost: Hashing,
        salt: [u8; 16],
        pepper: Option<&Pepper>,
    ) -> Result<Self, InvalidKeyHash> {
        let output = digest(key, cost, &salt, pepper)?;
        Ok(Self { cost, salt: salt.into(), output })
    }

    /// Whether this is the hash of the key, compared in constant time.
    ///
    /// Takes as long as hashing the key.
    pub fn matches(&self, key: &SecretKey, pepper: Option<&Pepper>) -> bool {
        digest(key, self.cost, &self.salt, pepper)
            .is_ok_and(|output| output.ct_eq(&self.output).into())
    }

    /// Parses a PHC string.
    ///
    /// # Errors
    /// [`InvalidKeyHash`] for any other text, or a cost out of bounds.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyHash> {
        let rest = text.strip_prefix("$argon2id$v=19$").ok_or(InvalidKeyHash::Format)?;
        let mut parts = rest.split('$');
        let (Some(cost), Some(salt), Some(output), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidKeyHash::Format);
        };
        let cost = parse_cost(cost).ok_or(InvalidKeyHash::Format)?;
        cost.check()?;
        let salt = decode(salt)?;
        if !(8..=64).contains(&salt.len()) {
            return Err(InvalidKeyHash::Format);
        }
        let output = decode(output)?.try_into().map_err(|_length| InvalidKeyHash::Format)?;
        Ok(Self { cost, salt: salt.into(), output })
    }
}

fn digest(
    key: &SecretKey,
    cost: Hashing,
    salt: &[u8],
    pepper: Option<&Pepper>,
) -> Result<[u8; OUTPUT_BYTES], InvalidKeyHash> {
    let params = cost.check()?;
    // An empty secret is the same as none.
    let pepper = pepper.map(Pepper::bytes).unwrap_or_default();
    let argon2 = Argon2::new_with_secret(pepper, Algorithm::Argon2id, Version::V0x13, params)
        .map_err(|_length| InvalidKeyHash::Cost)?;
    let mut output = [0; OUTPUT_BYTES];
    argon2
        .hash_password_into(key.reveal().as_bytes(), salt, &mut output)
        .map_err(|_length| InvalidKeyHash::Cost)?;
    Ok(output)
}

fn parse_cost(text: &str) -> Option<Hashing> {
    let mut parts = text.split(',');
    let mut next = |name: &str| parts.next()?.strip_prefix(name)?.parse().ok();
    let cost = Hashing { memory_kib: next("m=")?, passes: next("t=")?, lanes: next("p=")? };
    parts.next().is_none().then_some(cost)
}

fn decode(text: &str) -> Result<Vec<u8>, InvalidKeyHash> {
    STANDARD_NO_PAD.decode(text).map_err(|_base64| InvalidKeyHash::Format)
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hashing { memory_kib, passes, lanes } = self.cost;
        write!(f, "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}$")?;
        write!(f, "{}$", STANDARD_NO_PAD.encode(&self.salt))?;
        f.write_str(&STANDARD_NO_PAD.encode(self.output))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash([redacted])")
    }
}

serde_as_text!(KeyHash, InvalidKeyHash);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyId;

    fn key(secret: u8) -> SecretKey {
        SecretKey::assemble(&KeyId::parse("abcdefgh2345").unwrap(), &[secret; 43])
    }

    fn hash(pepper: Option<&Pepper>) -> KeyHash {
        KeyHash::of(&key(b'x'), Hashing::MINTED, [7; 16], pepper).unwrap()
    }

    #[test]
    fn only_the_same_key_matches() {
        assert!(hash(None).matches(&key(b'x'), None));
        assert!(!hash(None).matches(&key(b'y'), None));
    }

    #[test]
    fn without_the_pepper_nothing_matches() {
        let pepper = Pepper::new(Secret::new("salt and"));
        assert!(hash(Some(&pepper)).matches(&key(b'x'), Some(&pepper)));
        assert!(!hash(Some(&pepper)).matches(&key(b'x'), None));
    }

    #[test]
    fn a_hash_that_costs_too_much_is_rejected() {
        let text = hash(None).to_string();
        for cost in ["m=999999999,t=1,p=1", "m=512,t=99,p=1", "m=8,t=1,p=1", "m=512,t=1,p=64"] {
            let text = text.replace("m=512,t=1,p=1", cost);
            assert_eq!(KeyHash::parse(&text), Err(InvalidKeyHash::Cost), "{cost}");
        }
    }

    #[test]
    fn other_phc_strings_are_rejected() {
        let good = hash(None).to_string();
        for text in ["", "$argon2i$v=19$m=512,t=1,p=1$a$b", good.split_at(good.len() - 4).0] {
            assert_eq!(KeyHash::parse(text), Err(InvalidKeyHash::Format), "{text}");
        }
    }
}
