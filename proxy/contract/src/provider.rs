//! External services that speak OpenAI's or Anthropic's protocol.

use crate::{InvalidTimeouts, Secret, Timeouts, document};
use http::HeaderValue;
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
    /// Certificate authorities to trust instead of the system's, as PEM.
    pub ca_pem: Option<String>,
    /// How long to wait for it.
    pub timeouts: Timeouts,
}

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
        Ok(Self { name, url, credential, ca_pem, timeouts: timeouts.try_into()? })
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
