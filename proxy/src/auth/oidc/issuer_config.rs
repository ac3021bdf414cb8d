//! The configuration of an OIDC issuer.

/// An OIDC issuer whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerConfig {
    /// The `iss` claim, compared byte for byte, and the base of discovery. https, or http on a
    /// loopback host.
    pub issuer: String,
    /// A token must name one of these in `aud`.
    pub audiences: Vec<String>,
    /// The claim with the groups: its name, or a dotted path to a nested one.
    pub groups_claim: String,
    /// The claim with the user's name, likewise; `sub` if it is absent.
    pub username_claim: String,
    /// Certificates (PEM) to trust instead of the platform's.
    pub ca: Option<Vec<u8>>,
}

impl From<&llm_contract::Issuer> for IssuerConfig {
    fn from(issuer: &llm_contract::Issuer) -> Self {
        Self {
            issuer: issuer.issuer.clone(),
            audiences: issuer.audiences.clone(),
            groups_claim: issuer.groups_claim.clone(),
            username_claim: issuer.username_claim.clone(),
            ca: issuer.ca_pem.as_ref().map(|pem| pem.clone().into_bytes()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum InvalidIssuer {
    #[error("the issuer is not a URL")]
    Url(#[source] url::ParseError),
    /// Discovery appends a path, so nothing may follow the path.
    #[error("the issuer has a query or a fragment")]
    QueryOrFragment,
    /// Keys fetched in clear could be anyone's.
    #[error("the issuer is neither https nor on this machine")]
    Scheme,
    /// Its tokens could not pick one of the two.
    #[error("the issuer is configured twice")]
    Duplicate,
    #[error("parsing the issuer's CA")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("trusting the issuer's CA")]
    Ca(#[source] rustls::Error),
    #[error("the issuer's CA holds no certificate")]
    EmptyCa,
    #[error("setting up TLS")]
    Tls(#[source] rustls::Error),
    #[error("setting up the HTTP client")]
    Client(#[source] reqwest::Error),
}
