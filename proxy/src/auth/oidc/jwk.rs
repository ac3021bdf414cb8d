//! An issuer's public keys (RFC 7517), and the one place that verifies a token's signature.
//!
//! The key decides which algorithms it verifies, from its type, curve and `alg`; the token's header
//! only chooses among those. That closes the classic ways to confuse a verifier.

use super::{
    TokenError, ring_provider,
    token::{UnverifiedToken, parse_algorithm},
};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind,
    crypto::verify,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use ring::{
    agreement::{
        self, ECDH_P256, ECDH_P384, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral,
    },
    rand::SystemRandom,
};
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

/// The usable keys of one JWKS.
#[derive(Debug)]
pub(super) struct Jwks(Vec<Arc<VerifyingKey>>);

/// One public key and the algorithms it may verify. It is in force while a strong reference
/// exists; the cache of verified tokens holds weak ones.
#[derive(Clone, Debug)]
pub(super) struct VerifyingKey {
    jwk: PinnedJwk,
    key: DecodingKey,
    algorithms: Vec<Algorithm>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidJwks {
    #[error("parsing the key set")]
    Parse(#[from] serde_json::Error),
    #[error("the key set holds {0} keys, more than {KEYS_MAX}")]
    TooMany(usize),
    #[error("the key set holds no key that can verify a signature")]
    NoUsableKey,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// A JWK, with `alg` as written: the library does not know RFC 9864's `Ed25519`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct PinnedJwk {
    alg: Option<String>,
    #[serde(flatten)]
    jwk: Jwk,
}

impl Jwks {
    /// Parses a JWKS. Keys that also are in `previous` stay the same objects, so that tokens
    /// verified with them stay verified. Unusable keys are left out, as RFC 7517 section 5 asks.
    pub(super) fn parse(text: &[u8], previous: Option<&Self>) -> Result<Self, InvalidJwks> {
        ring_provider::install();
        let Document { keys } = serde_json::from_slice(text)?;
        if KEYS_MAX < keys.len() {
            return Err(InvalidJwks::TooMany(keys.len()));
        }
        let known = previous.map_or(&[][..], |keys| &keys.0);
        let jwks = keys.into_iter().filter_map(|key| serde_json::from_str(key.get()).ok());
        let keys: Vec<_> = jwks
            .filter_map(|jwk: PinnedJwk| match known.iter().find(|key| key.jwk == jwk) {
                Some(key) => Some(Arc::clone(key)),
                None => VerifyingKey::new(jwk).map(Arc::new),
            })
            .collect();
        if keys.is_empty() {
            return Err(InvalidJwks::NoUsableKey);
        }
        Ok(Self(keys))
    }

    /// Copies of the keys, with which no token counts as verified yet.
    pub(super) fn renewed(&self) -> Self {
        Self(self.0.iter().map(|key| Arc::new(VerifyingKey::clone(key))).collect())
    }

    /// Finds the key that signed the token, which proves that the issuer did. Without one that
    /// fits, the error is `UnknownKey` if newer keys may.
    pub(super) fn verify(
        &self,
        token: &UnverifiedToken<'_>,
    ) -> Result<&Arc<VerifyingKey>, TokenError> {
        let id = token.key_id.as_deref();
        let named: Vec<_> = self.0.iter().filter(|key| id.is_none() || id == key.id()).collect();
        if named.is_empty() {
            return Err(TokenError::UnknownKey);
        }
        let mut fitting = named
            .into_iter()
            .filter(|key| key.algorithms.contains(&token.algorithm))
            .take(KEYS_TRIED_MAX)
            .peekable();
        let none_fits = fitting.peek().is_none();
        match fitting.find(|key| key.verifies(token)) {
            Some(key) => Ok(key),
            None if id.is_none() => Err(TokenError::UnknownKey),
            None if none_fits => Err(TokenError::KeyAlgorithm),
            None => Err(TokenError::Signature),
        }
    }
}

impl VerifyingKey {
    /// `None` if the key is not meant for verifying, weak, or of an unknown kind.
    fn new(pinned: PinnedJwk) -> Option<Self> {
        let PinnedJwk { alg, jwk } = &pinned;
        let signs =
            jwk.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
        let operations = jwk.common.key_operations.as_ref();
        if !(signs && operations.is_none_or(|ops| ops.contains(&KeyOperations::Verify))) {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let (key, algorithms) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (checked_rsa(&key)?, AlgorithmFamily::Rsa.algorithms()),
            AlgorithmParameters::EllipticCurve(parameters) => match parameters.curve {
                EllipticCurve::P256 => (checked_point(key, &ECDH_P256)?, &[Algorithm::ES256][..]),
                EllipticCurve::P384 => (checked_point(key, &ECDH_P384)?, &[Algorithm::ES384][..]),
                EllipticCurve::P521 | EllipticCurve::Ed25519 | _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(parameters)
                if parameters.curve == EllipticCurve::Ed25519
                    && key.try_get_as_bytes().ok()?.len() == ED25519_KEY_BYTES =>
            {
                (key, &[Algorithm::EdDSA][..])
            }
            AlgorithmParameters::OctetKey(_)
            | AlgorithmParameters::OctetKeyPair(_)
            | AlgorithmParameters::Other(_)
            | _ => return None,
        };
        let pinned_to = match alg {
            Some(name) => Some(parse_algorithm(name)?),
            None => None,
        };
        let fits = |it: &Algorithm| pinned_to.is_none_or(|algorithm| algorithm == *it);
        let algorithms: Vec<_> = algorithms.iter().copied().filter(fits).collect();
        (!algorithms.is_empty()).then_some(Self { jwk: pinned, key, algorithms })
    }

    fn id(&self) -> Option<&str> {
        self.jwk.jwk.common.key_id.as_deref()
    }

    fn verifies(&self, token: &UnverifiedToken<'_>) -> bool {
        verify(token.signature, token.signed.as_bytes(), &self.key, token.algorithm)
            .unwrap_or(false)
    }
}

/// A modulus of an accepted size. Some issuers write a leading zero, as DER would; `ring` takes
/// none.
fn checked_rsa(key: &DecodingKey) -> Option<DecodingKey> {
    let DecodingKeyKind::RsaModulusExponent { n, e } = key.kind() else { return None };
    let [n, e] =
        [n, e].map(|bytes| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>());
    let unused_bits = usize::try_from(n.first()?.leading_zeros()).ok()?;
    let fits = RSA_BITS.contains(&(n.len() * 8 - unused_bits));
    fits.then(|| DecodingKey::from_rsa_raw_components(&n, &e))
}

/// A point that is on the curve. `ring` checks that only when it uses one, so this tries to agree
/// on a secret with it.
fn checked_point(key: DecodingKey, curve: &'static agreement::Algorithm) -> Option<DecodingKey> {
    let ours = EphemeralPrivateKey::generate(curve, &SystemRandom::new()).ok()?;
    let theirs = UnparsedPublicKey::new(curve, key.try_get_as_bytes().ok()?);
    agree_ephemeral(ours, &theirs, |_secret| ()).ok()?;
    Some(key)
}
