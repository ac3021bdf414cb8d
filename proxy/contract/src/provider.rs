//! External services with the protocol of OpenAI or Anthropic.

use crate::{InvalidTimeouts, Secret, Timeouts, document};
use http::{HeaderName, HeaderValue};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::sync::Arc;
use url::Url;

/// An external service and our account with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The name in logs and metrics.
    pub name: String,
    /// Scheme, host, port and path prefix; `/v1` of a request's path is replaced by the prefix.
    pub url: Url,
    /// Replaces the caller's credential.
    pub credential: Option<Credential>,
    /// Added to every request; replace a client's headers of these names.
    pub headers: Arc<[(HeaderName, HeaderValue)]>,
    /// Root certificates; the system's if absent.
    pub authorities: Option<Authorities>,
    /// Timeouts of its requests.
    pub timeouts: Timeouts,
}

/// Root certificates: at least one, each valid X.509 in DER.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authorities(Box<[Box<[u8]>]>);

/// The header that authenticates us to an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The name of the header.
    pub header: CredentialHeader,
    /// The whole value of the header, marked sensitive.
    pub value: HeaderValue,
}

/// The headers in which upstreams expect a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialHeader {
    /// `Authorization: Bearer ..`, of OpenAI and vLLM.
    #[default]
    Authorization,
    /// `x-api-key: ..`, of Anthropic.
    XApiKey,
    /// `api-key: ..`, of Azure.
    ApiKey,
}

/// Why a provider is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProvider {
    /// Not a name that metrics and logs allow.
    #[error("`name` must have 1 to {} letters, digits, `-`, `_` or `.`", Provider::NAME_BYTES_MAX)]
    Name,
    /// Not an absolute URL.
    #[error("`url` is not a URL")]
    Url(#[source] url::ParseError),
    /// Not HTTP, or with a password, query or fragment.
    #[error("`url` must be http(s)://host[:port][/path], without password, query or fragment")]
    Scheme,
    /// Empty, or not a header value.
    #[error("the credential is empty or has characters that no header may hold")]
    Credential,
    /// Too many headers.
    #[error("`headers` has more than {} entries", Provider::HEADERS_MAX)]
    Headers,
    /// Not a header's name, or one that the gateway writes.
    #[error("`headers`: {0:?} cannot be set; it is no header's name, or the gateway's own")]
    HeaderName(String),
    /// A header with two values.
    #[error("`headers`: {0:?} is listed twice")]
    DuplicateHeader(String),
    /// The header whose value, perhaps a credential, is invalid or too long.
    #[error(
        "`headers`: the value of {0:?} has characters that no header may hold, or more than {max} \
         bytes",
        max = Provider::HEADER_BYTES_MAX
    )]
    HeaderValue(String),
    /// Not at least one certificate in PEM.
    #[error("`caPem` does not hold certificates in PEM")]
    Authorities,
    /// A timeout out of bounds.
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
    /// Builds the header for a secret.
    ///
    /// # Errors
    /// [`InvalidProvider::Credential`] if it is empty or not a header value.
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
    /// Parses certificates in PEM.
    ///
    /// # Errors
    /// [`InvalidProvider::Authorities`] if there is none, or an invalid one.
    pub fn parse(pem: &str) -> Result<Self, InvalidProvider> {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
            .map(|it| it.ok().filter(|der| webpki::anchor_from_trusted_cert(der).is_ok()))
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

impl Provider {
    /// The longest name, in bytes: that of a Kubernetes object.
    pub const NAME_BYTES_MAX: usize = 253;
    /// The most headers of one provider.
    pub const HEADERS_MAX: usize = 16;
    /// The longest value of a header, in bytes.
    pub const HEADER_BYTES_MAX: usize = 4096;
    /// Headers that the gateway writes, or that frame and authenticate a request.
    const OWN_HEADERS: [&str; 22] = [
        "accept-encoding",
        "api-key",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-api-key",
        "x-client-id",
        "x-llm-client-id",
        "x-request-id",
    ];
}

impl TryFrom<document::Provider> for Provider {
    type Error = InvalidProvider;

    fn try_from(document: document::Provider) -> Result<Self, InvalidProvider> {
        let document::Provider { name, url, credential, headers, ca_pem, timeouts } = document;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || Self::NAME_BYTES_MAX < name.len() || !name.bytes().all(plain) {
            return Err(InvalidProvider::Name);
        }
        let url = parse_url(&url)?;
        let credential = credential
            .map(|document::Credential { header, secret }| Credential::new(header, &secret))
            .transpose()?;
        let headers = parse_headers(headers)?;
        let authorities = ca_pem.as_deref().map(Authorities::parse).transpose()?;
        Ok(Self { name, url, credential, headers, authorities, timeouts: timeouts.check()? })
    }
}

fn parse_headers(
    documents: Vec<document::Header>,
) -> Result<Arc<[(HeaderName, HeaderValue)]>, InvalidProvider> {
    if Provider::HEADERS_MAX < documents.len() {
        return Err(InvalidProvider::Headers);
    }
    let mut headers = Vec::<(HeaderName, HeaderValue)>::with_capacity(documents.len());
    for document::Header { name, value } in documents {
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok();
        let parsed = parsed.filter(|it| !Provider::OWN_HEADERS.contains(&it.as_str()));
        let Some(parsed) = parsed else {
            return Err(InvalidProvider::HeaderName(name));
        };
        if headers.iter().any(|(other, _)| *other == parsed) {
            return Err(InvalidProvider::DuplicateHeader(name));
        }
        let value = Some(value.reveal()).filter(|it| it.len() <= Provider::HEADER_BYTES_MAX);
        let Some(Ok(mut value)) = value.map(HeaderValue::from_str) else {
            return Err(InvalidProvider::HeaderValue(name));
        };
        value.set_sensitive(true);
        headers.push((parsed, value));
    }
    Ok(headers.into())
}

/// Parses the URL of an upstream.
pub(crate) fn parse_url(text: &str) -> Result<Url, InvalidProvider> {
    let url = Url::parse(text).map_err(InvalidProvider::Url)?;
    let http = matches!(url.scheme(), "http" | "https") && url.has_host();
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if http && bare { Ok(url) } else { Err(InvalidProvider::Scheme) }
}
