//! An issuer's public keys (RFC 7517, 7518 section 6, 8037), and the one place a signature is checked.
//!
//! The key decides which algorithms it verifies, from its type, curve and `alg`; the token's header
//! only chooses among those. That closes the classic ways to confuse a verifier.

use super::token::{Algorithm, Token};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{ops::RangeInclusive, sync::Arc};

/// The most keys a JWKS may hold.
pub(super) const KEYS_MAX: usize = 100;
/// The most keys one token is tried with.
pub(super) const KEYS_TRIED_MAX: usize = 8;
/// The RSA modulus sizes accepted, in bits.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;
/// The size of an Ed25519 public key, in bytes.
const ED25519_KEY_BYTES: usize = 32;

const RSA: [(Algorithm, &RsaParameters); 6] = [
    (Algorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::Rs384, &RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::Rs512, &RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::Ps256, &RSA_PSS_2048_8192_SHA256),
    (Algorithm::Ps384, &RSA_PSS_2048_8192_SHA384),
    (Algorithm::Ps512, &RSA_PSS_2048_8192_SHA512),
];

/// The usable keys of one JWKS.
#[derive(Debug)]
pub(super) struct Keys(Vec<Arc<Key>>);

/// One public key and what it may verify. While anybody holds it strongly it is in force;
/// the verified cache holds it weakly.
#[derive(Clone, Debug)]
pub(super) struct Key {
    jwk: Jwk,
    verifiers: Vec<(Algorithm, ParsedPublicKey)>,
}

/// Why no key verified a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// No key of that id, or none that fits a token without an id: newer keys may.
    UnknownKey,
    /// The key is known, and not for this algorithm.
    Algorithm,
    /// The key is known, and did not make this signature.
    Signature,
}

/// Why a JWKS is not put in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidKeys {
    #[error("parsing the key set")]
    Parse(#[from] serde_json::Error),
    #[error("the key set holds {0} keys, more than {KEYS_MAX}")]
    TooMany(usize),
    #[error("the key set holds no key that can verify a signature")]
    NoneUsable,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// The members of a JWK that are read. Two keys that agree in these are the same key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Keys {
    /// Reads a JWKS. Keys that also are in `previous` stay the same objects, so that what was
    /// verified with them stays verified. Keys we cannot use are left out, as RFC 7517 section 5 asks.
    ///
    /// # Errors
    /// Not a JWKS, too many keys, or none to use: the last good set should stay in force.
    pub(super) fn parse(text: &[u8], previous: Option<&Self>) -> Result<Self, InvalidKeys> {
        let Document { keys } = serde_json::from_slice(text)?;
        if KEYS_MAX < keys.len() {
            return Err(InvalidKeys::TooMany(keys.len()));
        }
        let known = previous.map_or(&[][..], |keys| &keys.0);
        let jwks = keys.into_iter().filter_map(|key| serde_json::from_str::<Jwk>(key.get()).ok());
        let keys: Vec<_> = jwks
            .filter_map(|jwk| match known.iter().find(|key| key.jwk == jwk) {
                Some(key) => Some(Arc::clone(key)),
                None => Key::parse(jwk).map(Arc::new),
            })
            .collect();
        if keys.is_empty() {
            return Err(InvalidKeys::NoneUsable);
        }
        Ok(Self(keys))
    }

    /// The same keys as new objects: nothing verified with the old ones counts as verified with these.
    pub(super) fn renewed(&self) -> Self {
        Self(self.0.iter().map(|key| Arc::new(Key::clone(key))).collect())
    }

    /// Finds the key that signed the token, which is the proof that the issuer did.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub(super) fn verify(&self, token: &Token<'_>) -> Result<&Arc<Key>, Mismatch> {
        let id = token.key_id.as_deref();
        let named = |key: &&Arc<Key>| id.is_none() || id == key.jwk.kid.as_deref();
        if !self.0.iter().any(|key| named(&key)) {
            return Err(Mismatch::UnknownKey);
        }
        let mut fitting = self
            .0
            .iter()
            .filter(named)
            .filter_map(|key| Some((key, key.verifier(token.algorithm)?)))
            .take(KEYS_TRIED_MAX)
            .peekable();
        let none_fits = fitting.peek().is_none();
        let signed_by = fitting.find(|(_, verifier)| {
            verifier.verify_sig(token.signed.as_bytes(), &token.signature).is_ok()
        });
        match signed_by {
            Some((key, _)) => Ok(key),
            None if id.is_none() => Err(Mismatch::UnknownKey),
            None if none_fits => Err(Mismatch::Algorithm),
            None => Err(Mismatch::Signature),
        }
    }
}

impl Key {
    /// Makes a key of a JWK, unless it is not meant for verifying, weak, or of a kind we do not know.
    fn parse(jwk: Jwk) -> Option<Self> {
        let signs = jwk.usage.as_deref().is_none_or(|usage| usage == "sig");
        let verifies = jwk
            .key_ops
            .as_ref()
            .is_none_or(|ops| ops.iter().any(|operation| operation == "verify"));
        if !(signs && verifies) {
            return None;
        }
        let mut verifiers = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => rsa(&jwk)?,
            ("EC", Some("P-256")) => ec(&jwk, Algorithm::Es256, &ECDSA_P256_SHA256_FIXED, 32)?,
            ("EC", Some("P-384")) => ec(&jwk, Algorithm::Es384, &ECDSA_P384_SHA384_FIXED, 48)?,
            ("EC", Some("P-521")) => ec(&jwk, Algorithm::Es512, &ECDSA_P521_SHA512_FIXED, 66)?,
            ("OKP", Some("Ed25519")) => ed25519(&jwk)?,
            _ => return None,
        };
        if let Some(name) = &jwk.alg {
            let pinned = Algorithm::parse(name)?;
            verifiers.retain(|(algorithm, _)| *algorithm == pinned);
        }
        (!verifiers.is_empty()).then_some(Self { jwk, verifiers })
    }

    fn verifier(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.verifiers.iter().find_map(|(own, verifier)| (*own == algorithm).then_some(verifier))
    }
}

fn rsa(jwk: &Jwk) -> Option<Vec<(Algorithm, ParsedPublicKey)>> {
    let (n, e) = (integer(jwk.n.as_ref()?)?, integer(jwk.e.as_ref()?)?);
    let unused_bits = n.first()?.leading_zeros();
    let bits = (n.len() * 8).checked_sub(usize::try_from(unused_bits).ok()?)?;
    if !RSA_BITS.contains(&bits) {
        return None;
    }
    let key = RsaPublicKeyComponents { n, e };
    RSA.into_iter()
        .map(|(algorithm, parameters)| {
            Some((algorithm, key.to_parsed_public_key(parameters).ok()?))
        })
        .collect()
}

/// Makes a verifier of a curve point. Coordinates have the full size of the field
/// (RFC 7518 section 6.2.1.2), so anything else is not a key.
fn ec(
    jwk: &Jwk,
    algorithm: Algorithm,
    verification: &'static dyn VerificationAlgorithm,
    coordinate_bytes: usize,
) -> Option<Vec<(Algorithm, ParsedPublicKey)>> {
    const UNCOMPRESSED: u8 = 4;
    let (x, y) = (bytes(jwk.x.as_ref()?)?, bytes(jwk.y.as_ref()?)?);
    if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
        return None;
    }
    let point = [&[UNCOMPRESSED][..], &x, &y].concat();
    Some(vec![(algorithm, ParsedPublicKey::new(verification, point).ok()?)])
}

fn ed25519(jwk: &Jwk) -> Option<Vec<(Algorithm, ParsedPublicKey)>> {
    let key = bytes(jwk.x.as_ref()?)?;
    if key.len() != ED25519_KEY_BYTES {
        return None;
    }
    Some(vec![(Algorithm::EdDsa, ParsedPublicKey::new(&ED25519, key).ok()?)])
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// A big-endian integer. Some issuers write a leading zero, as DER would.
fn integer(text: &str) -> Option<Vec<u8>> {
    let bytes = bytes(text)?;
    Some(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}
