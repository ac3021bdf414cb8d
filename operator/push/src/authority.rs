//! The certificate authority that proxies trust for the push, and its rotation.
//!
//! Rotation interrupts no connection: the next root is published beside the current one, starts
//! to sign once every proxy has had time to load it, and the old one stays published until it
//! expires, without its key.

use jiff::{SignedDuration, Timestamp};
use llm_contract::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use std::time::Duration;

/// How long a root is valid.
const VALIDITY: SignedDuration = SignedDuration::from_hours(2 * 365 * 24);
/// How long the next root is published before it signs: far longer than the kubelet takes to
/// update a mounted ConfigMap.
const PROPAGATION: SignedDuration = SignedDuration::from_hours(24);
/// Certificates are backdated: clocks differ.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// The current root, during a rotation the next one, and after it the previous one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    signing: Root,
    next: Option<Root>,
    previous: Option<TrustAnchor>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Root {
    anchor: TrustAnchor,
    key: Secret,
}

/// A root's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TrustAnchor {
    pem: String,
    created: Timestamp,
    expires: Timestamp,
}

/// The next step of the rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationStep {
    Keep {
        until: Timestamp,
    },
    /// There is no authority, or it has expired.
    Create,
    /// Create the next root and publish it.
    Prepare,
    /// Sign with the next root.
    Promote,
    /// Stop publishing the previous root.
    Retire,
}

/// Why a stored authority cannot be used; each variant names the field.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAuthority {
    #[error("`{0}` is missing, or not text")]
    Missing(&'static str),
    #[error("`{0}` is not a certificate in PEM")]
    Certificate(&'static str),
    #[error("`{0}` is not a private key in PEM")]
    Key(&'static str, #[source] rcgen::Error),
    #[error("the private key `{0}` does not match its certificate")]
    Mismatch(&'static str),
}

pub fn next_step(stored: Option<&Authority>, now: Timestamp) -> RotationStep {
    let Some(Authority { signing, next, previous }) = stored else {
        return RotationStep::Create;
    };
    let promote_at = next.as_ref().map(|next| next.anchor.created + PROPAGATION);
    let due = promote_at.is_some_and(|at| at <= now);
    let expired = signing.anchor.expires <= now;
    if due || (expired && next.is_some()) {
        return RotationStep::Promote;
    }
    if expired {
        return RotationStep::Create;
    }
    let prepare_at = signing.anchor.created + VALIDITY * 2 / 3;
    if next.is_none() && prepare_at <= now {
        return RotationStep::Prepare;
    }
    let retire_at = previous.as_ref().map(|previous| previous.expires);
    if retire_at.is_some_and(|at| at <= now) {
        return RotationStep::Retire;
    }
    let change_at = promote_at.unwrap_or(prepare_at);
    RotationStep::Keep { until: retire_at.map_or(change_at, |at| at.min(change_at)) }
}

impl Authority {
    /// Field names of a stored authority: those of a TLS Secret where possible.
    const FIELDS: [(&'static str, &'static str); 2] =
        [("tls.crt", "tls.key"), ("next.crt", "next.key")];
    const PREVIOUS: &'static str = "previous.crt";

    /// Takes a step; store the result before using it.
    pub fn advance(
        stored: Option<Self>,
        step: RotationStep,
        now: Timestamp,
    ) -> Result<Self, rcgen::Error> {
        let Some(stored) = stored.filter(|_| step != RotationStep::Create) else {
            return Ok(Self { signing: Root::create(now)?, next: None, previous: None });
        };
        let Self { signing, next, previous } = stored;
        Ok(match (step, next) {
            (RotationStep::Prepare, _) => {
                Self { signing, next: Some(Root::create(now)?), previous }
            }
            (RotationStep::Promote, Some(next)) => {
                Self { signing: next, next: None, previous: Some(signing.anchor) }
            }
            (RotationStep::Retire, next) => Self { signing, next, previous: None },
            (RotationStep::Promote | RotationStep::Keep { .. } | RotationStep::Create, next) => {
                Self { signing, next, previous }
            }
        })
    }

    /// Parses a stored authority.
    pub fn parse<'a>(field: impl Fn(&str) -> Option<&'a [u8]>) -> Result<Self, InvalidAuthority> {
        let text = |name| {
            let text = field(name).and_then(|bytes| str::from_utf8(bytes).ok());
            text.ok_or(InvalidAuthority::Missing(name))
        };
        let root =
            |(certificate, key)| Root::parse(text(certificate)?, certificate, text(key)?, key);
        let [signing, next] = Self::FIELDS;
        let anchor = |name| Ok(TrustAnchor::parse(text(name)?, name)?.0);
        Ok(Self {
            signing: root(signing)?,
            next: field(next.0).map(|_| root(next)).transpose()?,
            previous: field(Self::PREVIOUS).map(|_| anchor(Self::PREVIOUS)).transpose()?,
        })
    }

    /// The fields to store.
    pub fn to_data(&self) -> Vec<(&'static str, Secret)> {
        let roots = [Some(&self.signing), self.next.as_ref()];
        let root = |(root, (certificate, key)): (Option<&Root>, _)| {
            root.map(|root| [(certificate, Secret::new(&root.anchor.pem)), (key, root.key.clone())])
        };
        let roots = roots.into_iter().zip(Self::FIELDS).filter_map(root).flatten();
        let previous = self.previous.iter().map(|it| (Self::PREVIOUS, Secret::new(&it.pem)));
        roots.chain(previous).collect()
    }

    /// The certificates that proxies have to trust, in PEM.
    pub fn bundle(&self) -> String {
        let next = self.next.iter().map(|root| &root.anchor);
        let anchors = [&self.signing.anchor].into_iter().chain(next).chain(&self.previous);
        anchors.map(|anchor| anchor.pem.as_str()).collect()
    }

    pub(crate) fn issuer(&self) -> Result<Issuer<'_, KeyPair>, rcgen::Error> {
        let key = KeyPair::from_pem(self.signing.key.reveal())?;
        Issuer::from_ca_cert_pem(&self.signing.anchor.pem, key)
    }
}

impl Root {
    fn create(now: Timestamp) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        // Roots are distinguished by their keys; the date is informational.
        let name = format!("llm-operator push {}", now.strftime("%Y-%m-%d"));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, now, VALIDITY);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let pem = params.self_signed(&key)?.pem();
        let anchor =
            TrustAnchor { pem, created: whole_second(now), expires: whole_second(now + VALIDITY) };
        Ok(Self { anchor, key: Secret::new(key.serialize_pem()) })
    }

    fn parse(
        certificate: &str,
        certificate_field: &'static str,
        key: &str,
        field: &'static str,
    ) -> Result<Self, InvalidAuthority> {
        let (anchor, public_key) = TrustAnchor::parse(certificate, certificate_field)?;
        let pair = KeyPair::from_pem(key).map_err(|error| InvalidAuthority::Key(field, error))?;
        if pair.subject_public_key_info() != public_key {
            return Err(InvalidAuthority::Mismatch(field));
        }
        Ok(Self { anchor, key: Secret::new(key) })
    }
}

impl TrustAnchor {
    /// Returns the public key as well.
    fn parse(pem: &str, field: &'static str) -> Result<(Self, Vec<u8>), InvalidAuthority> {
        let parsed = CertificateDer::from_pem_slice(pem.as_bytes()).ok().and_then(|der| {
            let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
            let validity = certificate.validity();
            let created = Timestamp::from_second(validity.not_before.timestamp()).ok()? + SKEW;
            let expires = Timestamp::from_second(validity.not_after.timestamp()).ok()?;
            let anchor = Self { pem: pem.to_owned(), created, expires };
            Some((anchor, certificate.public_key().raw.to_vec()))
        });
        parsed.ok_or(InvalidAuthority::Certificate(field))
    }
}

/// Certificates hold dates in seconds.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

pub(crate) fn set_validity(
    params: &mut CertificateParams,
    now: Timestamp,
    validity: SignedDuration,
) {
    // The type of dates is from a crate that is no direct dependency.
    let date = |time: Timestamp| {
        let seconds = u64::try_from(time.as_second()).unwrap_or_default();
        date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    (params.not_before, params.not_after) = (date(now - SKEW), date(now + validity));
}

#[cfg(test)]
mod tests;
