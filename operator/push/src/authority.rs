//! The certificate authority that proxies trust for this one connection.
//!
//! It is rotated without anybody noticing: the next root is published beside the one in use,
//! signs when every proxy has had time to read it, and the old one stays published until it
//! expires. Its key is deleted before.

use jiff::{SignedDuration, Timestamp};
use llm_contract::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use std::time::Duration;

/// How long a root is valid.
const LIFE: SignedDuration = SignedDuration::from_hours(2 * 365 * 24);
/// How long the next root is published before it signs: far longer than a mounted ConfigMap takes
/// to arrive.
const SPREAD: SignedDuration = SignedDuration::from_hours(24);
/// A certificate is valid from a while before it is made: clocks differ.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// The roots: the one that signs, the next one during a rotation, the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    signing: Root,
    next: Option<Root>,
    previous: Option<Anchor>,
}

/// A root's certificate and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Root {
    anchor: Anchor,
    key: Secret,
}

/// A root's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pem: String,
    made: Timestamp,
    expires: Timestamp,
}

/// What to do about the authority now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Keep {
        /// When to look again.
        until: Timestamp,
    },
    /// Make a new one: there is none, or it has expired.
    Make,
    /// Make the next root, and publish it beside the one that signs.
    Prepare,
    /// Let the next root sign.
    Promote,
    /// Publish the previous root no longer.
    Retire,
}

/// Why stored roots cannot be used. Without the stored data a new authority is made.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAuthority {
    /// A part is not there.
    #[error("`{field}` is missing, or not text")]
    Missing {
        /// Of the stored data.
        field: &'static str,
    },
    /// Not a certificate in PEM.
    #[error("`{field}` is not a certificate in PEM")]
    Certificate {
        /// Of the stored data.
        field: &'static str,
    },
    /// Not a private key in PEM.
    #[error("`{field}` is not a private key in PEM")]
    Key {
        /// Of the stored data.
        field: &'static str,
        /// What is wrong with it.
        source: rcgen::Error,
    },
    /// Of another certificate.
    #[error("the private key `{field}` does not fit its certificate")]
    Mismatch {
        /// Of the stored data.
        field: &'static str,
    },
}

/// What is to be done about what is stored, now. Decides; [`Authority::after`] does it.
pub fn decide(stored: Option<&Authority>, now: Timestamp) -> Step {
    let Some(Authority { signing, next, previous }) = stored else {
        return Step::Make;
    };
    let promote_at = next.as_ref().map(|next| next.anchor.made + SPREAD);
    let due = promote_at.is_some_and(|at| at <= now);
    let expired = signing.anchor.expires <= now;
    if due || (expired && next.is_some()) {
        return Step::Promote;
    }
    if expired {
        return Step::Make;
    }
    let prepare_at = signing.anchor.made + LIFE * 2 / 3;
    if next.is_none() && prepare_at <= now {
        return Step::Prepare;
    }
    let retire_at = previous.as_ref().map(|previous| previous.expires);
    if retire_at.is_some_and(|at| at <= now) {
        return Step::Retire;
    }
    let change_at = promote_at.unwrap_or(prepare_at);
    Step::Keep { until: retire_at.map_or(change_at, |at| at.min(change_at)) }
}

impl Authority {
    /// Where the parts are stored. The keys' names match those of a TLS Secret where they can.
    const FIELDS: [(&'static str, &'static str); 2] =
        [("tls.crt", "tls.key"), ("next.crt", "next.key")];
    const PREVIOUS: &'static str = "previous.crt";

    /// Does a step; what it returns is to be stored before it is used.
    ///
    /// # Errors
    /// If there is no randomness to make a key of.
    pub fn after(stored: Option<Self>, step: Step, now: Timestamp) -> Result<Self, rcgen::Error> {
        let Some(stored) = stored.filter(|_| step != Step::Make) else {
            return Ok(Self { signing: Root::make(now)?, next: None, previous: None });
        };
        let Self { signing, next, previous } = stored;
        Ok(match (step, next) {
            (Step::Prepare, _) => Self { signing, next: Some(Root::make(now)?), previous },
            (Step::Promote, Some(next)) => {
                Self { signing: next, next: None, previous: Some(signing.anchor) }
            }
            (Step::Retire, next) => Self { signing, next, previous: None },
            (Step::Promote | Step::Keep { .. } | Step::Make, next) => {
                Self { signing, next, previous }
            }
        })
    }

    /// Reads what was stored; `field` finds a part by its name.
    ///
    /// # Errors
    /// [`InvalidAuthority`].
    pub fn parse<'a>(field: impl Fn(&str) -> Option<&'a [u8]>) -> Result<Self, InvalidAuthority> {
        let text = |name| {
            let text = field(name).and_then(|bytes| str::from_utf8(bytes).ok());
            text.ok_or(InvalidAuthority::Missing { field: name })
        };
        let root =
            |(certificate, key)| Root::parse(text(certificate)?, certificate, text(key)?, key);
        let [signing, next] = Self::FIELDS;
        let anchor = |name| Ok(Anchor::parse(text(name)?, name)?.0);
        Ok(Self {
            signing: root(signing)?,
            next: field(next.0).map(|_| root(next)).transpose()?,
            previous: field(Self::PREVIOUS).map(|_| anchor(Self::PREVIOUS)).transpose()?,
        })
    }

    /// What to store, each part under its name.
    pub fn to_data(&self) -> Vec<(&'static str, Secret)> {
        let roots = [Some(&self.signing), self.next.as_ref()];
        let root = |(root, (certificate, key)): (Option<&Root>, _)| {
            root.map(|root| [(certificate, Secret::new(&root.anchor.pem)), (key, root.key.clone())])
        };
        let roots = roots.into_iter().zip(Self::FIELDS).filter_map(root).flatten();
        let previous = self.previous.iter().map(|it| (Self::PREVIOUS, Secret::new(&it.pem)));
        roots.chain(previous).collect()
    }

    /// The certificates that proxies are to trust, in PEM.
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
    fn make(now: Timestamp) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        // Roots are told apart by their keys; the date is for people.
        let name = format!("llm-operator push {}", now.strftime("%Y-%m-%d"));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_life(&mut params, now, LIFE);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let pem = params.self_signed(&key)?.pem();
        let anchor = Anchor { pem, made: whole_second(now), expires: whole_second(now + LIFE) };
        Ok(Self { anchor, key: Secret::new(key.serialize_pem()) })
    }

    fn parse(
        certificate: &str,
        certificate_field: &'static str,
        key: &str,
        field: &'static str,
    ) -> Result<Self, InvalidAuthority> {
        let (anchor, public_key) = Anchor::parse(certificate, certificate_field)?;
        let pair =
            KeyPair::from_pem(key).map_err(|source| InvalidAuthority::Key { field, source })?;
        if pair.subject_public_key_info() != public_key {
            return Err(InvalidAuthority::Mismatch { field });
        }
        Ok(Self { anchor, key: Secret::new(key) })
    }
}

impl Anchor {
    /// Also returns its public key.
    fn parse(pem: &str, field: &'static str) -> Result<(Self, Vec<u8>), InvalidAuthority> {
        let parsed = CertificateDer::from_pem_slice(pem.as_bytes()).ok().and_then(|der| {
            let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
            let validity = certificate.validity();
            let made = Timestamp::from_second(validity.not_before.timestamp()).ok()? + SKEW;
            let expires = Timestamp::from_second(validity.not_after.timestamp()).ok()?;
            let anchor = Self { pem: pem.to_owned(), made, expires };
            Some((anchor, certificate.public_key().raw.to_vec()))
        });
        parsed.ok_or(InvalidAuthority::Certificate { field })
    }
}

/// A certificate's dates are in seconds.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Makes a certificate valid from now on, for so long.
pub(crate) fn set_life(params: &mut CertificateParams, now: Timestamp, life: SignedDuration) {
    // The dates' type is of a crate that nothing else needs, so it is not named.
    let date = |time: Timestamp| {
        let seconds = u64::try_from(time.as_second()).unwrap_or_default();
        date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    (params.not_before, params.not_after) = (date(now - SKEW), date(now + life));
}

#[cfg(test)]
mod tests;
