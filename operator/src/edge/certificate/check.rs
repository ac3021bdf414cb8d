//! Checks whether a Secret holds a certificate that clients accept.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use secrecy::{ExposeSecret, SecretSlice};
use std::time::Duration;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const TYPE: &str = "kubernetes.io/tls";
const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";
pub(in crate::edge) const WARN_BEFORE_EXPIRY: Duration = Duration::from_hours(14 * 24);

/// The parts of a Secret with a certificate.
#[derive(Debug)]
pub(in crate::edge) struct TlsSecret {
    kind: String,
    chain: Option<Vec<u8>>,
    key: Option<SecretSlice<u8>>,
}

/// A certificate that clients accept now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) struct ValidCertificate {
    pub(in crate::edge) not_after: Timestamp,
    pub(in crate::edge) expires_soon: bool,
}

/// Why clients do not accept a certificate; completes a sentence that starts with the Secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::edge) enum CertificateError {
    #[error("does not exist")]
    MissingSecret,
    #[error("has type {found} instead of {TYPE}")]
    WrongType { found: String },
    #[error("has no {0}")]
    NoKey(&'static str),
    #[error("has no PEM certificates in {CHAIN}")]
    InvalidChain,
    #[error("has no PEM private key in {KEY}")]
    InvalidKey,
    #[error("has a {KEY} that does not match the first certificate in {CHAIN}")]
    Mismatch,
    #[error("has a certificate that does not cover {}; it covers {}", list(.missing), list(.covered))]
    NotCovered { missing: Vec<String>, covered: Vec<String> },
    #[error("has a certificate that expired at {0}")]
    Expired(Timestamp),
    #[error("has a certificate that is not valid before {0}")]
    NotYetValid(Timestamp),
}

impl From<Secret> for TlsSecret {
    fn from(secret: Secret) -> Self {
        let mut data = secret.data.unwrap_or_default();
        Self {
            kind: secret.type_.unwrap_or_default(),
            chain: data.remove(CHAIN).map(|bytes| bytes.0),
            key: data.remove(KEY).map(|bytes| bytes.0.into()),
        }
    }
}

/// Returns the first problem, if any.
pub(in crate::edge) fn check(
    secret: Option<&TlsSecret>,
    hosts: &[String],
    now: Timestamp,
) -> Result<ValidCertificate, CertificateError> {
    let secret = secret.ok_or(CertificateError::MissingSecret)?;
    if secret.kind != TYPE {
        return Err(CertificateError::WrongType { found: secret.kind.clone() });
    }
    let chain = secret.chain.as_deref().ok_or(CertificateError::NoKey(CHAIN))?;
    let key = secret.key.as_ref().ok_or(CertificateError::NoKey(KEY))?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|_pem| CertificateError::InvalidChain)?;
    let leaf = chain.first().ok_or(CertificateError::InvalidChain)?.clone();
    let (_, leaf) =
        X509Certificate::from_der(&leaf).map_err(|_x509| CertificateError::InvalidChain)?;
    check_key(chain.clone(), key)?;
    check_names(&leaf, hosts)?;
    check_validity(&leaf, now)
}

fn check_key(
    chain: Vec<CertificateDer<'static>>,
    key: &SecretSlice<u8>,
) -> Result<(), CertificateError> {
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret())
        .map_err(|_pem| CertificateError::InvalidKey)?;
    let key = any_supported_type(&key).map_err(|_kind| CertificateError::InvalidKey)?;
    CertifiedKey::new(chain, key).keys_match().map_err(|_key| CertificateError::Mismatch)
}

fn check_names(leaf: &X509Certificate<'_>, hosts: &[String]) -> Result<(), CertificateError> {
    let names = leaf.subject_alternative_name().ok().flatten();
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    let covered: Vec<&str> = names
        .iter()
        .filter_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None })
        .collect();
    let missing: Vec<String> =
        hosts.iter().filter(|host| !covered.iter().any(|it| matches(it, host))).cloned().collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(CertificateError::NotCovered {
        missing,
        covered: covered.into_iter().map(Into::into).collect(),
    })
}

/// Whether a name in a certificate matches a host; `*` stands for exactly the first label.
fn matches(name: &str, host: &str) -> bool {
    name.strip_prefix("*.").map_or_else(
        || name.eq_ignore_ascii_case(host),
        |parent| host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
    )
}

fn check_validity(
    leaf: &X509Certificate<'_>,
    now: Timestamp,
) -> Result<ValidCertificate, CertificateError> {
    let validity = leaf.validity();
    let time = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).map_err(|_range| CertificateError::InvalidChain)
    };
    let (not_before, not_after) = (time(validity.not_before)?, time(validity.not_after)?);
    if now < not_before {
        return Err(CertificateError::NotYetValid(not_before));
    }
    if not_after < now {
        return Err(CertificateError::Expired(not_after));
    }
    Ok(ValidCertificate {
        not_after,
        expires_soon: not_after.duration_since(now) < signed(WARN_BEFORE_EXPIRY),
    })
}

/// When the result changes by itself.
pub(in crate::edge) fn recheck_after(
    found: &Result<ValidCertificate, CertificateError>,
    now: Timestamp,
) -> Option<Duration> {
    let at = match found {
        Ok(ValidCertificate { not_after, expires_soon: true }) => *not_after,
        Ok(ValidCertificate { not_after, expires_soon: false }) => *not_after - WARN_BEFORE_EXPIRY,
        Err(CertificateError::NotYetValid(not_before)) => *not_before,
        Err(
            CertificateError::MissingSecret
            | CertificateError::WrongType { .. }
            | CertificateError::NoKey(_)
            | CertificateError::InvalidChain
            | CertificateError::InvalidKey
            | CertificateError::Mismatch
            | CertificateError::NotCovered { .. }
            | CertificateError::Expired(_),
        ) => return None,
    };
    // One second later, because a certificate is valid through its last second.
    let wait = at.duration_since(now).max(jiff::SignedDuration::ZERO).unsigned_abs();
    Some(wait + Duration::from_secs(1))
}

fn signed(duration: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "no names".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
