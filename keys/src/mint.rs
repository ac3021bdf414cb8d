//! New keys from random bytes, which are an argument so that tests can choose them.

use llm_contract::{Hashing, InvalidKey, InvalidKeyHash, KeyHash, KeyId, SecretKey};
use std::io;
use zeroize::Zeroizing;

/// Random bytes drawn at a time; nearly always enough for a whole secret.
const BLOCK_BYTES: usize = 64;
/// Blocks drawn before the source counts as broken. A good source needs a second
/// block less than once in 10^16 keys.
const BLOCKS_MAX: usize = 8;
const SALT_BYTES: usize = 16;

#[derive(Debug)]
pub struct MintedKey {
    /// The key in clear, to be shown once.
    pub key: SecretKey,
    pub hash: KeyHash,
}

#[derive(Debug, thiserror::Error)]
pub enum MintError {
    #[error("cannot read random bytes")]
    Random(#[source] io::Error),
    #[error(
        "the source of random bytes is broken: {BLOCKS_MAX} blocks without enough usable bytes"
    )]
    Broken,
    /// A defect.
    #[error("drew an invalid key id")]
    Id(#[source] InvalidKey),
    /// A defect.
    #[error("cannot hash the key")]
    Hash(#[source] InvalidKeyHash),
}

/// Fills a buffer with the operating system's random bytes.
pub fn system_random(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(io::Error::from)
}

/// Creates a key: an id of 60 bits, a secret of 256 bits, and its hash with its own salt.
///
/// ```
/// let minted = llm_keys::mint(&mut llm_keys::system_random).unwrap();
/// assert!(minted.hash.matches(&minted.key, None));
/// ```
pub fn mint(random: &mut impl FnMut(&mut [u8]) -> io::Result<()>) -> Result<MintedKey, MintError> {
    let id = draw::<{ KeyId::BYTES }>(KeyId::ALPHABET, random)?;
    let id = KeyId::parse(&String::from_utf8_lossy(&*id)).map_err(MintError::Id)?;
    let secret = draw::<{ SecretKey::SECRET_BYTES }>(SecretKey::ALPHABET, random)?;
    let mut salt = [0; SALT_BYTES];
    random(&mut salt).map_err(MintError::Random)?;
    let key = SecretKey::assemble(&id, &secret);
    let hash = KeyHash::of(&key, Hashing::MINTED, salt, None).map_err(MintError::Hash)?;
    Ok(MintedKey { key, hash })
}

/// Draws characters, all equally likely: a byte whose low bits are beyond the alphabet is discarded,
/// because taking a remainder would favour the beginning of the alphabet.
fn draw<const N: usize>(
    alphabet: &[u8],
    random: &mut impl FnMut(&mut [u8]) -> io::Result<()>,
) -> Result<Zeroizing<[u8; N]>, MintError> {
    let mask = alphabet.len().next_power_of_two() - 1;
    let mut drawn = Zeroizing::new([0; N]);
    let mut empty = drawn.iter_mut();
    for _ in 0..BLOCKS_MAX {
        let mut block = Zeroizing::new([0; BLOCK_BYTES]);
        random(&mut *block).map_err(MintError::Random)?;
        let characters = block.iter().filter_map(|byte| alphabet.get(usize::from(*byte) & mask));
        for character in characters {
            if let Some(place) = empty.next() {
                *place = *character;
            }
            if empty.len() == 0 {
                return Ok(drawn);
            }
        }
    }
    Err(MintError::Broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counting(mut next: u8) -> impl FnMut(&mut [u8]) -> io::Result<()> {
        move |bytes| {
            for byte in bytes {
                *byte = next;
                next = next.wrapping_add(1);
            }
            Ok(())
        }
    }

    #[test]
    fn the_same_randomness_makes_the_same_key() {
        let key = |start| mint(&mut counting(start)).unwrap().key.reveal().to_owned();
        assert_eq!(key(0), key(0));
        assert_ne!(key(0), key(1));
        assert!(key(0).starts_with("sk-nb-abcdefghijkl-0123456789ABC"), "{}", key(0));
    }

    #[test]
    fn a_byte_beyond_the_alphabet_is_discarded() {
        let drawn = draw::<3>(SecretKey::ALPHABET, &mut counting(61)).unwrap();
        assert_eq!(&*drawn, b"z01", "62 and 63 stand for no character");
    }

    #[test]
    fn every_character_is_drawn_equally_often_from_all_bytes() {
        let mut counts = [0; 256];
        let drawn = draw::<248>(SecretKey::ALPHABET, &mut counting(0)).unwrap();
        drawn.iter().for_each(|character| counts[usize::from(*character)] += 1);
        assert!(SecretKey::ALPHABET.iter().all(|character| counts[usize::from(*character)] == 4));
    }

    #[test]
    fn a_broken_source_is_an_error_and_not_an_endless_loop() {
        let mut stuck = |bytes: &mut [u8]| {
            bytes.fill(0xff);
            Ok(())
        };
        assert!(matches!(mint(&mut stuck), Err(MintError::Broken)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_minted_parses_and_matches_its_hash(mut state: u64) {
            let minted = mint(&mut |bytes: &mut [u8]| {
                for byte in bytes {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    [*byte, ..] = state.to_be_bytes();
                }
                Ok(())
            }).unwrap();
            prop_assert_eq!(SecretKey::parse(minted.key.reveal()).unwrap().id(), minted.key.id());
            prop_assert!(minted.hash.matches(&minted.key, None));
        }
    }
}
