//! The gateway's own certificate, reloaded while in use.

use arc_swap::ArcSwap;
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::sync::Arc;

/// The gateway's own certificate and its private key.
#[derive(Clone, Debug)]
pub struct Certificate(Arc<ArcSwap<CertifiedKey>>);

#[derive(Debug, thiserror::Error)]
pub enum InvalidCertificate {
    #[error("the certificate file contains no certificates in PEM")]
    Chain,
    #[error("the key file contains no private key in PEM")]
    Key,
    /// Of an unsupported kind, or of another certificate.
    #[error("the private key does not match the certificate")]
    Mismatch(#[source] rustls::Error),
}

impl Certificate {
    /// Parses a certificate chain and its private key, both in PEM.
    pub fn parse(chain_pem: &[u8], key_pem: &[u8]) -> Result<Self, InvalidCertificate> {
        let certified = parse(chain_pem, key_pem)?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(certified))))
    }

    /// Replaces it, if the new one is valid; open connections keep the old one.
    pub fn replace(&self, chain_pem: &[u8], key_pem: &[u8]) -> Result<(), InvalidCertificate> {
        self.0.store(Arc::new(parse(chain_pem, key_pem)?));
        Ok(())
    }
}

fn parse(chain_pem: &[u8], key_pem: &[u8]) -> Result<CertifiedKey, InvalidCertificate> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain_pem)
        .collect::<Result<_, _>>()
        .map_err(|_pem| InvalidCertificate::Chain)?;
    if chain.is_empty() {
        return Err(InvalidCertificate::Chain);
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_pem| InvalidCertificate::Key)?;
    let key = any_supported_type(&key).map_err(InvalidCertificate::Mismatch)?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(InvalidCertificate::Mismatch)?;
    Ok(certified)
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}
