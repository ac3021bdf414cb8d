//! External services that speak OpenAI's or Anthropic's protocol.

use crate::{InvalidTimeouts, Secret, Timeouts, document};
use http::{HeaderName, HeaderValue};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::sync::Arc;
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
    /// What it wants to see with every request, instead of what a client sends under that name.
    pub headers: Arc<[(HeaderName, HeaderValue)]>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, Default)]
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
    #[error("`name` must have 1 to {} letters, digits, `-`, `_` or `.`", Provider::NAME_BYTES_MAX)]
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
    /// More than anybody needs.
    #[error("`headers` has more than {} entries", Provider::HEADERS_MAX)]
    Headers,
    /// Not a header's name, or one that is ours to write.
    #[error("`headers`: {name:?} cannot be set; it is no header's name, or the gateway's own")]
    HeaderName {
        /// As written.
        name: String,
    },
    /// Which of two would be meant?
    #[error("`headers`: {name:?} is there twice")]
    HeaderTwice {
        /// As written.
        name: String,
    },
    /// A line break, or far too long. The value may be a credential and is not repeated.
    #[error(
        "`headers`: the value of {name:?} has characters that no header may hold, or more than \
         {} bytes",
        Provider::HEADER_BYTES_MAX
    )]
    HeaderValue {
        /// As written.
        name: String,
    },
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
    /// The longest name: that of an object of Kubernetes.
    pub const NAME_BYTES_MAX: usize = 253;
    /// The most headers that are sent with every request.
    pub const HEADERS_MAX: usize = 16;
    /// The longest value of one of them, in bytes.
    pub const HEADER_BYTES_MAX: usize = 4096;
    /// Headers that the gateway writes by itself, or that say where a message ends and who asks.
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
        let url = check_url(&url)?;
        let credential = credential
            .map(|document::Credential { header, secret }| Credential::new(header, &secret))
            .transpose()?;
        let headers = check_headers(headers)?;
        let authorities = ca_pem.as_deref().map(Authorities::parse).transpose()?;
        Ok(Self { name, url, credential, headers, authorities, timeouts: timeouts.try_into()? })
    }
}

fn check_headers(
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
            return Err(InvalidProvider::HeaderName { name });
        };
        if headers.iter().any(|(other, _)| *other == parsed) {
            return Err(InvalidProvider::HeaderTwice { name });
        }
        let value = Some(value.reveal()).filter(|it| it.len() <= Provider::HEADER_BYTES_MAX);
        let Some(Ok(mut value)) = value.map(HeaderValue::from_str) else {
            return Err(InvalidProvider::HeaderValue { name });
        };
        value.set_sensitive(true);
        headers.push((parsed, value));
    }
    Ok(headers.into())
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
