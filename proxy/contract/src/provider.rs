//! External services that speak OpenAI's or Anthropic's protocol.

use crate::{InvalidTimeouts, Secret, Timeouts, document};
use http::HeaderValue;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use url::Url;

/// An external service and our account with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its name in logs and metrics.
    pub name: String,
    /// Scheme, host, port and path prefix; `/v1` of a request's path is replaced by the prefix.
    pub url: Url,
    /// What we present instead of the caller's credential.
    pub credential: Option<Credential>,
    /// Certificate authorities to trust instead of the system's.
    pub authorities: Option<Authorities>,
    /// How long to wait for it.
    pub timeouts: Timeouts,
}

/// Certificates of authorities, each in DER and readable as X.509; at least one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authorities(Box<[Box<[u8]>]>);

/// What an upstream wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The header it goes into.
    pub header: CredentialHeader,
    /// The whole value of the header, marked sensitive.
    pub value: HeaderValue,
}

/// The headers in which upstreams expect a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialHeader {
    /// `Authorization: Bearer ..`, as OpenAI and vLLM want it.
    #[default]
    Authorization,
    /// `x-api-key: ..`, as Anthropic wants it.
    XApiKey,
    /// `api-key: ..`, as Azure wants it.
    ApiKey,
}

/// Why a provider is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProvider {
    /// The name is used in metrics and logs.
    #[error("`name` must have 1 to 63 letters, digits, `-`, `_` or `.`")]
    Name,
    /// Not an absolute URL.
    #[error("`url` is not a URL")]
    Url(#[source] url::ParseError),
    /// Anything that is not HTTP, or holds a password, a query or a fragment.
    #[error("`url` must be http(s)://host[:port][/path], without password, query or fragment")]
    Scheme,
    /// A line break, or nothing at all.
    #[error("the credential is empty or has characters that no header may hold")]
    Credential,
    /// Not one or more certificates.
    #[error("`caPem` does not hold certificates in PEM")]
    Authorities,
    /// See the source.
    #[error("`timeouts`")]
    Timeouts(#[from] InvalidTimeouts),
}

impl CredentialHeader {
    /// The header's name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::XApiKey => "x-api-key",
            Self::ApiKey => "api-key",
        }
    }
}

impl Credential {
    /// Makes the header that presents a secret.
    ///
    /// # Errors
    /// [`InvalidProvider::Credential`] if the secret is empty or cannot stand in a header.
    ///
    /// ```
    /// use llm_contract::{Credential, CredentialHeader, Secret};
    /// let it = Credential::new(CredentialHeader::Authorization, &Secret::new("sk-1")).unwrap();
    /// assert_eq!(it.value, "Bearer sk-1");
    /// assert!(it.value.is_sensitive());
    /// ```
    pub fn new(header: CredentialHeader, secret: &Secret) -> Result<Self, InvalidProvider> {
        let secret = secret.reveal().trim();
        let text = match header {
            CredentialHeader::Authorization => format!("Bearer {secret}"),
            CredentialHeader::XApiKey | CredentialHeader::ApiKey => secret.to_owned(),
        };
        match HeaderValue::from_str(&text) {
            Ok(mut value) if !secret.is_empty() => {
                value.set_sensitive(true);
                Ok(Self { header, value })
            }
            Ok(_) | Err(_) => Err(InvalidProvider::Credential),
        }
    }
}

impl Authorities {
    /// Reads certificates in PEM.
    ///
    /// # Errors
    /// [`InvalidProvider::Authorities`] if there is none, or one that cannot be read.
    pub fn parse(pem: &str) -> Result<Self, InvalidProvider> {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
            .map(|it| it.ok().filter(|der| x509_parser::parse_x509_certificate(der).is_ok()))
            .map(|it| it.map(|der| der.as_ref().into()).ok_or(InvalidProvider::Authorities))
            .collect::<Result<Box<[Box<[u8]>]>, _>>()?;
        if certificates.is_empty() {
            Err(InvalidProvider::Authorities)
        } else {
            Ok(Self(certificates))
        }
    }

    /// The certificates in DER.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }
}

impl TryFrom<document::Provider> for Provider {
    type Error = InvalidProvider;

    fn try_from(document: document::Provider) -> Result<Self, InvalidProvider> {
        let document::Provider { name, url, credential, ca_pem, timeouts } = document;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || 63 < name.len() || !name.bytes().all(plain) {
            return Err(InvalidProvider::Name);
        }
        let url = check_url(&url)?;
        let credential = credential
            .map(|document::Credential { header, secret }| Credential::new(header, &secret))
            .transpose()?;
        let authorities = ca_pem.as_deref().map(Authorities::parse).transpose()?;
        Ok(Self { name, url, credential, authorities, timeouts: timeouts.try_into()? })
    }
}

/// Reads the address of an upstream.
pub(crate) fn check_url(text: &str) -> Result<Url, InvalidProvider> {
    let url = Url::parse(text).map_err(InvalidProvider::Url)?;
    let http = matches!(url.scheme(), "http" | "https") && url.has_host();
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if http && bare { Ok(url) } else { Err(InvalidProvider::Scheme) }
}
