//! The JWS compact form (RFC 7515): three base64url parts, taken apart before anything is believed.
//!
//! Nothing here proves anything. A [`Token`] says what its bearer claims, and only
//! [`Keys::verify`](super::jwk::Keys::verify) turns that into something to act on.

use super::Refused;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use std::borrow::Cow;

/// The longest token that is looked at, in bytes.
pub(super) const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// A signature algorithm (RFC 7518 section 3.1, RFC 8037). `none` and the HMACs have no variant,
/// so a token cannot talk us into using a public key as a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

/// A token taken apart. The header's algorithm is a request; the issuer's key decides.
#[derive(Debug)]
pub(super) struct Token<'a> {
    /// The algorithm the header names.
    pub(super) algorithm: Algorithm,
    /// The key the header names.
    pub(super) key_id: Option<String>,
    /// What was signed: header and claims as they came.
    pub(super) signed: &'a str,
    /// The claims, decoded, not verified.
    pub(super) claims: Vec<u8>,
    /// The signature, decoded.
    pub(super) signature: Vec<u8>,
}

/// The members of the header that are read. Duplicates are an error, other members
/// (`jku`, `jwk`, `x5u`, `x5c`: keys the bearer would like us to use) are ignored.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    kid: Option<String>,
    #[serde(borrow)]
    typ: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

impl<'a> Token<'a> {
    /// Takes a compact JWS apart.
    ///
    /// # Errors
    /// [`Refused::Malformed`], [`Refused::Critical`], [`Refused::Type`], [`Refused::Algorithm`].
    pub(super) fn parse(text: &'a str) -> Result<Self, Refused> {
        let (signed, signature) = text.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refused::Malformed)?;
        if claims.contains('.') {
            return Err(Refused::Malformed);
        }
        let header = decode(header)?;
        let Ok(Header { alg, kid, typ, crit }) = serde_json::from_slice(&header) else {
            return Err(Refused::Malformed);
        };
        if crit {
            return Err(Refused::Critical);
        }
        if !typ.as_deref().is_none_or(is_access_or_id_token) {
            return Err(Refused::Type);
        }
        Ok(Self {
            algorithm: Algorithm::parse(&alg).ok_or(Refused::Algorithm)?,
            key_id: kid,
            signed,
            claims: decode(claims)?,
            signature: decode(signature)?,
        })
    }
}

impl Algorithm {
    /// Reads the name used in headers and keys. `Ed25519` is what RFC 9864 calls `EdDSA` on that curve.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// Whether `typ` is that of a plain JWT or an access token (RFC 9068). Logout tokens, for one,
/// carry the same issuer and audience but say nothing about who may do what (RFC 8725 section 3.11).
fn is_access_or_id_token(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

fn decode(part: &str) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD.decode(part).or(Err(Refused::Malformed))
}

/// Reads a member of any value as "it is there".
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).and(Ok(true))
}
