//! The hub's address, the token, and the TLS client.

use super::error::HubError;
use reqwest::{Client, redirect};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use std::{str::FromStr, sync::Arc, time::Duration};
use url::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The hub's token. Leaves this type only in a request to the hub.
#[derive(Debug)]
pub(crate) struct HubToken(SecretString);

/// The base URL of the hub.
#[derive(Clone, Debug)]
pub(crate) struct HubEndpoint(pub(super) Url);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write the endpoint as `https://huggingface.co`: http or https, no user, no password, no query"
)]
pub struct InvalidHubEndpoint;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is printable ASCII without spaces")]
pub struct InvalidHubToken;

impl HubToken {
    /// Parses a token. Secrets often end with a newline, which is dropped.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidHubToken> {
        let text = text.trim();
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(SecretString::from(text))) } else { Err(InvalidHubToken) }
    }

    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Removes the token from a text of the hub, which has seen it.
    pub(super) fn redact(&self, text: &str) -> String {
        text.replace(self.expose(), "[the token]")
    }
}

impl HubEndpoint {
    pub(crate) const PUBLIC: &str = "https://huggingface.co";
}

impl FromStr for HubEndpoint {
    type Err = InvalidHubEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidHubEndpoint> {
        let url = Url::parse(text).map_err(|_form| InvalidHubEndpoint)?;
        // A password would be printed in error messages.
        let fits = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if fits { Ok(Self(url)) } else { Err(InvalidHubEndpoint) }
    }
}

/// A client that opens one connection per file, so that none slows down the others, and leaves
/// redirects to its user.
pub(super) fn client(endpoint: &HubEndpoint) -> Result<Client, HubError> {
    Client::builder()
        .tls_backend_preconfigured(tls(endpoint)?)
        .http1_only()
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("llm-download/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(HubError::Client)
}

/// TLS that trusts the platform's roots or those in `SSL_CERT_FILE`. A hub without TLS needs none,
/// unless it redirects to one with TLS.
fn tls(endpoint: &HubEndpoint) -> Result<ClientConfig, HubError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() && endpoint.0.scheme() == "https" {
        return Err(HubError::NoRoots { endpoint: endpoint.0.to_string() });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(HubError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
