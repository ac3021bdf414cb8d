//! Whether a Secret holds a certificate that callers will accept, and if not, what is wrong.

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

/// The type that a Secret with a certificate has.
const TYPE: &str = "kubernetes.io/tls";
const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";
/// How long before its end a certificate is warned of.
pub(in crate::edge) const WARN_BEFORE_END: Duration = Duration::from_hours(14 * 24);

/// What is read of a Secret with a certificate.
#[derive(Debug)]
pub(in crate::edge) struct TlsSecret {
    kind: String,
    chain: Option<Vec<u8>>,
    key: Option<SecretSlice<u8>>,
}

/// A certificate that callers will accept now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) struct Usable {
    /// When it ends.
    pub(in crate::edge) not_after: Timestamp,
    /// Whether that is so soon that somebody should know.
    pub(in crate::edge) ends_soon: bool,
}

/// Why callers will not accept a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::edge) enum Unusable {
    /// There is no such Secret.
    #[error("it does not exist")]
    Missing,
    /// A Secret for something else.
    #[error("its type is {found}: make it of type {TYPE}")]
    WrongType {
        /// The type it has.
        found: String,
    },
    /// Half a Secret.
    #[error("it has no {0}")]
    NoEntry(&'static str),
    /// Not PEM, or nothing in it.
    #[error("its {CHAIN} does not hold certificates in PEM")]
    Chain,
    /// Not PEM, or no private key in it.
    #[error("its {KEY} does not hold a private key in PEM")]
    Key,
    /// The key belongs to something else.
    #[error("its {KEY} does not belong to the first certificate in its {CHAIN}")]
    Mismatch,
    /// Issued for something else.
    #[error("its certificate does not cover {}; it covers {}", list(.missing), list(.covered))]
    NotCovered {
        /// The names it should cover too.
        missing: Vec<String>,
        /// The names it covers.
        covered: Vec<String>,
    },
    /// Its time is over.
    #[error("its certificate expired at {0}")]
    Expired(Timestamp),
    /// Its time has not come.
    #[error("its certificate is not valid before {0}")]
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

/// Checks what a Secret holds.
///
/// # Errors
/// [`Unusable`], with the first thing that is wrong.
pub(in crate::edge) fn check(
    secret: Option<&TlsSecret>,
    hosts: &[String],
    now: Timestamp,
) -> Result<Usable, Unusable> {
    let secret = secret.ok_or(Unusable::Missing)?;
    if secret.kind != TYPE {
        return Err(Unusable::WrongType { found: secret.kind.clone() });
    }
    let chain = secret.chain.as_deref().ok_or(Unusable::NoEntry(CHAIN))?;
    let key = secret.key.as_ref().ok_or(Unusable::NoEntry(KEY))?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|_pem| Unusable::Chain)?;
    let leaf = chain.first().ok_or(Unusable::Chain)?.clone();
    let (_, leaf) = X509Certificate::from_der(&leaf).map_err(|_x509| Unusable::Chain)?;
    fits(chain.clone(), key)?;
    covers(&leaf, hosts)?;
    lasts(&leaf, now)
}

fn fits(chain: Vec<CertificateDer<'static>>, key: &SecretSlice<u8>) -> Result<(), Unusable> {
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret()).map_err(|_pem| Unusable::Key)?;
    let key = any_supported_type(&key).map_err(|_kind| Unusable::Key)?;
    CertifiedKey::new(chain, key).keys_match().map_err(|_key| Unusable::Mismatch)
}

fn covers(leaf: &X509Certificate<'_>, hosts: &[String]) -> Result<(), Unusable> {
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
    Err(Unusable::NotCovered { missing, covered: covered.into_iter().map(Into::into).collect() })
}

/// Whether a name in a certificate stands for a host: a `*` is exactly one label, the first.
fn matches(name: &str, host: &str) -> bool {
    name.strip_prefix("*.").map_or_else(
        || name.eq_ignore_ascii_case(host),
        |parent| host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
    )
}

fn lasts(leaf: &X509Certificate<'_>, now: Timestamp) -> Result<Usable, Unusable> {
    let validity = leaf.validity();
    let time = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).map_err(|_range| Unusable::Chain)
    };
    let (not_before, not_after) = (time(validity.not_before)?, time(validity.not_after)?);
    if now < not_before {
        return Err(Unusable::NotYetValid(not_before));
    }
    if not_after < now {
        return Err(Unusable::Expired(not_after));
    }
    Ok(Usable { not_after, ends_soon: not_after.duration_since(now) < signed(WARN_BEFORE_END) })
}

/// When to look again, although nothing was written: when the answer changes by itself.
pub(in crate::edge) fn look_again(
    found: &Result<Usable, Unusable>,
    now: Timestamp,
) -> Option<Duration> {
    let at = match found {
        Ok(Usable { not_after, ends_soon: true }) => *not_after,
        Ok(Usable { not_after, ends_soon: false }) => *not_after - WARN_BEFORE_END,
        Err(Unusable::NotYetValid(not_before)) => *not_before,
        Err(
            Unusable::Missing
            | Unusable::WrongType { .. }
            | Unusable::NoEntry(_)
            | Unusable::Chain
            | Unusable::Key
            | Unusable::Mismatch
            | Unusable::NotCovered { .. }
            | Unusable::Expired(_),
        ) => return None,
    };
    // A moment later, because a certificate is good to the last second of its time.
    let wait = at.duration_since(now).max(jiff::SignedDuration::ZERO).unsigned_abs();
    Some(wait + Duration::from_secs(1))
}

fn signed(duration: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "no name".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
