//! Fetches an issuer's key set: discovery (OpenID Connect Discovery 1.0 section 4), then the JWKS.
//!
//! Times and sizes are bounded. Not followed are redirects, a discovery document of another
//! issuer, and a key set in clear except from this machine to itself.

use super::{InvalidIssuer, IssuerConfig};
use reqwest::{Client, StatusCode, redirect};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use url::{Host, Url};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// From the first byte sent to the last one read.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const DISCOVERY_BYTES_MAX: usize = 256 * 1024;
pub(super) const JWKS_BYTES_MAX: usize = 1024 * 1024;

/// An HTTP client for one issuer's documents.
#[derive(Debug)]
pub(super) struct DiscoveryClient {
    issuer: String,
    discovery: Url,
    client: Client,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("fetching {url}")]
    Request { url: Url, source: reqwest::Error },
    #[error("{url} answered {status}")]
    Status { url: Url, status: StatusCode },
    #[error("{url} is larger than {bytes_max} bytes")]
    TooLarge { url: Url, bytes_max: usize },
    #[error("parsing the discovery document")]
    Parse(#[source] serde_json::Error),
    #[error("the discovery document is that of another issuer")]
    OtherIssuer,
    #[error("`jwks_uri` is neither https nor on this machine like its issuer")]
    Insecure,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: Url,
}

impl DiscoveryClient {
    pub(super) fn new(config: &IssuerConfig) -> Result<Self, InvalidIssuer> {
        let base = config.issuer.strip_suffix('/').unwrap_or(&config.issuer);
        let discovery = Url::parse(&format!("{base}/.well-known/openid-configuration"))
            .map_err(InvalidIssuer::Url)?;
        if discovery.query().is_some() || discovery.fragment().is_some() {
            return Err(InvalidIssuer::QueryOrFragment);
        }
        if !is_secure(&discovery) {
            return Err(InvalidIssuer::Scheme);
        }
        let client = Client::builder()
            .tls_backend_preconfigured(tls(config.ca.as_deref())?)
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(DOCUMENT_TIMEOUT)
            // Fetches are minutes apart, so no connection is worth keeping.
            .pool_max_idle_per_host(0);
        let client = if is_loopback(&discovery) { client.no_proxy() } else { client };
        let client = client.build().map_err(InvalidIssuer::Client)?;
        Ok(Self { issuer: config.issuer.clone(), discovery, client })
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) async fn fetch_jwks(&self) -> Result<Vec<u8>, FetchError> {
        let document = self.get(&self.discovery, DISCOVERY_BYTES_MAX).await?;
        let Discovery { issuer, jwks_uri } =
            serde_json::from_slice(&document).map_err(FetchError::Parse)?;
        if issuer != self.issuer {
            return Err(FetchError::OtherIssuer);
        }
        // An issuer elsewhere must not make us talk to ourselves in clear.
        if jwks_uri.scheme() != "https" && !(is_secure(&jwks_uri) && is_loopback(&self.discovery)) {
            return Err(FetchError::Insecure);
        }
        self.get(&jwks_uri, JWKS_BYTES_MAX).await
    }

    async fn get(&self, url: &Url, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
        let failed = |source| FetchError::Request { url: url.clone(), source };
        let mut response = self.client.get(url.clone()).send().await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status { url: url.clone(), status: response.status() });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if bytes_max - body.len() < chunk.len() {
                return Err(FetchError::TooLarge { url: url.clone(), bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// TLS that trusts the given CA only, or the platform's roots. Configured here because reqwest
/// would ask for a process-wide crypto provider.
fn tls(ca: Option<&[u8]>) -> Result<ClientConfig, InvalidIssuer> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate.map_err(InvalidIssuer::Pem)?).map_err(InvalidIssuer::Ca)?;
            }
            if roots.is_empty() {
                return Err(InvalidIssuer::EmptyCa);
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(InvalidIssuer::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Whether a document from there cannot be changed on the way.
fn is_secure(url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => is_loopback(url),
        _ => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
