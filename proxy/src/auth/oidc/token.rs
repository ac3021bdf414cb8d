//! The JWS compact form (RFC 7515): three base64url parts, split before anything is believed.
//!
//! An [`UnverifiedToken`] proves nothing: only [`Jwks::verify`](super::jwk::Jwks::verify) does.

use super::TokenError;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use std::borrow::Cow;

/// The longest token that is parsed, in bytes.
pub(super) const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// A parsed token. The header's algorithm is a request; the issuer's key decides.
#[derive(Debug)]
pub(super) struct UnverifiedToken<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    /// Header and claims as sent: the bytes under the signature.
    pub(super) signed: &'a str,
    /// The claims, decoded.
    pub(super) claims: Vec<u8>,
    /// The signature in base64url.
    pub(super) signature: &'a str,
}

/// The members of the header that are read. Duplicates are an error, other members
/// (`jku`, `jwk`, `x5u`, `x5c`: keys the bearer would like us to use) are ignored.
#[derive(Deserialize)]
struct UnverifiedHeader<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    kid: Option<String>,
    #[serde(borrow)]
    typ: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "is_present")]
    crit: bool,
}

impl<'a> UnverifiedToken<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, TokenError> {
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        if claims.contains('.') {
            return Err(TokenError::Malformed);
        }
        let header = decode(header)?;
        let Ok(UnverifiedHeader { alg, kid, typ, crit }) = serde_json::from_slice(&header) else {
            return Err(TokenError::Malformed);
        };
        if crit {
            return Err(TokenError::CriticalExtension);
        }
        if !typ.as_deref().is_none_or(is_access_or_id_token) {
            return Err(TokenError::Type);
        }
        let algorithm = parse_algorithm(&alg).ok_or(TokenError::Algorithm)?;
        decode(signature)?;
        Ok(Self { algorithm, key_id: kid, signed, claims: decode(claims)?, signature })
    }
}

/// Parses `alg` of a header or key (RFC 7518 section 3.1, RFC 8037). HMAC is none of them, so no
/// token can have a public key used as a shared secret. RFC 9864 calls `EdDSA` on its curve
/// `Ed25519`.
pub(super) fn parse_algorithm(name: &str) -> Option<Algorithm> {
    let name = if name == "Ed25519" { "EdDSA" } else { name };
    name.parse().ok().filter(|algorithm: &Algorithm| algorithm.family() != AlgorithmFamily::Hmac)
}

/// Whether `typ` is that of a plain JWT or an access token (RFC 9068). Logout tokens, for one,
/// carry the same issuer and audience but grant nothing (RFC 8725 section 3.11).
fn is_access_or_id_token(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).or(Err(TokenError::Malformed))
}

fn is_present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).and(Ok(true))
}
