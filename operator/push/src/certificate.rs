//! The certificate that is served, which may be replaced while it is.

use crate::authority::{Authority, set_life};
use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    crypto::ring::sign::any_ecdsa_type,
    pki_types::PrivateKeyDer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::sync::Arc;

/// How long a serving certificate is valid. It never leaves the process that made it.
const LIFE: SignedDuration = SignedDuration::from_hours(24);

/// The certificate in use.
#[derive(Clone, Debug)]
pub struct Certificate(Arc<ArcSwap<CertifiedKey>>);

/// A serving certificate and its private key.
#[derive(Debug)]
pub struct Issued {
    certified: Arc<CertifiedKey>,
    /// When another should be made: at two thirds of its life, or when the authority is another.
    pub renew_at: Timestamp,
}

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NotIssued {
    /// See the source; most likely a name that DNS could not have.
    #[error("making a certificate")]
    Make(#[from] rcgen::Error),
    /// See the source.
    #[error("using the certificate's key")]
    Key(#[from] rustls::Error),
    /// There is nothing it would be valid for.
    #[error("a serving certificate needs a DNS name")]
    NoName,
}

impl Certificate {
    /// Serves this one first.
    pub fn new(issued: Issued) -> Self {
        Self(Arc::new(ArcSwap::new(issued.certified)))
    }

    /// Serves another from now on; connections that are open keep the old one.
    pub fn replace(&self, issued: Issued) {
        self.0.store(issued.certified);
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Authority {
    /// Makes a serving certificate for these DNS names.
    ///
    /// # Errors
    /// [`NotIssued`].
    pub fn issue(&self, names: &[String], now: Timestamp) -> Result<Issued, NotIssued> {
        if names.is_empty() {
            return Err(NotIssued::NoName);
        }
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "llm-operator");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_life(&mut params, now, LIFE);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer()?)?;
        let chain = vec![certificate.der().clone()];
        let key = any_ecdsa_type(&PrivateKeyDer::Pkcs8(key.into()))?;
        let certified = Arc::new(CertifiedKey::new(chain, key));
        Ok(Issued { certified, renew_at: now + LIFE * 2 / 3 })
    }
}
