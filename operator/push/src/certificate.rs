//! The serving certificate, replaceable at runtime.

use crate::authority::{Authority, set_validity};
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

/// Short-lived: the key never leaves the process that created it.
const VALIDITY: SignedDuration = SignedDuration::from_hours(24);

#[derive(Clone, Debug)]
pub struct ServingCertificate(Arc<ArcSwap<CertifiedKey>>);

#[derive(Debug)]
pub struct IssuedCertificate {
    certified: Arc<CertifiedKey>,
    /// At two thirds of its validity.
    pub renew_at: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// Most likely an invalid DNS name.
    #[error("signing a certificate")]
    Sign(#[from] rcgen::Error),
    #[error("loading the certificate's key")]
    Key(#[from] rustls::Error),
    #[error("a serving certificate needs a DNS name")]
    NoName,
}

impl ServingCertificate {
    pub fn new(issued: IssuedCertificate) -> Self {
        Self(Arc::new(ArcSwap::new(issued.certified)))
    }

    /// Open connections keep the old certificate.
    pub fn replace(&self, issued: IssuedCertificate) {
        self.0.store(issued.certified);
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Authority {
    /// Issues a serving certificate for DNS names.
    pub fn issue(&self, names: &[String], now: Timestamp) -> Result<IssuedCertificate, IssueError> {
        if names.is_empty() {
            return Err(IssueError::NoName);
        }
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "llm-operator");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, VALIDITY);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer()?)?;
        let chain = vec![certificate.der().clone()];
        let key = any_ecdsa_type(&PrivateKeyDer::Pkcs8(key.into()))?;
        let certified = Arc::new(CertifiedKey::new(chain, key));
        Ok(IssuedCertificate { certified, renew_at: now + VALIDITY * 2 / 3 })
    }
}
