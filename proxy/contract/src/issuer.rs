//! Identity providers whose tokens are accepted on the internal entry.

use crate::{Authorities, document};
use url::Url;

/// An OIDC issuer, found by discovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The `iss` claim, compared byte for byte, and the base of discovery.
    pub url: String,
    /// A token must name one of these in `aud`.
    pub audiences: Vec<String>,
    /// Where the groups are.
    pub groups_claim: ClaimPath,
    /// Where the name of the user is; `sub` if it is absent.
    pub username_claim: ClaimPath,
    /// Certificate authorities to trust instead of the system's, as PEM.
    pub ca_pem: Option<String>,
}

/// A claim's name, or a path to a nested one such as `realm_access.roles`.
///
/// A claim of exactly this name wins over the path, because names may hold dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(Box<str>);

/// Why an issuer is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIssuer {
    /// Not an absolute URL.
    #[error("`issuer` is not a URL")]
    Url(#[source] url::ParseError),
    /// Keys fetched in clear could be anyone's.
    #[error("`issuer` must be https, or http on a loopback address")]
    Scheme,
    /// Any token of the issuer would be accepted, whoever it was made for.
    #[error("`audiences` must name at least one audience")]
    NoAudience,
    /// Not one or more certificates.
    #[error("`caPem` does not hold certificates in PEM")]
    Authorities,
    /// An empty or overlong claim name.
    #[error("`{field}` must have 1 to {} characters", ClaimPath::BYTES_MAX)]
    Claim {
        /// The field that holds it.
        field: &'static str,
    },
}

impl ClaimPath {
    /// The longest claim path, in bytes.
    pub const BYTES_MAX: usize = 256;

    fn check(text: String, field: &'static str) -> Result<Self, InvalidIssuer> {
        if text.is_empty() || Self::BYTES_MAX < text.len() {
            return Err(InvalidIssuer::Claim { field });
        }
        Ok(Self(text.into()))
    }

    /// The path as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<document::Issuer> for Issuer {
    type Error = InvalidIssuer;

    fn try_from(document: document::Issuer) -> Result<Self, InvalidIssuer> {
        let document::Issuer { issuer, audiences, groups_claim, username_claim, ca_pem } = document;
        let url = Url::parse(&issuer).map_err(InvalidIssuer::Url)?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => is_loopback(&url),
            _ => false,
        };
        if !secure {
            return Err(InvalidIssuer::Scheme);
        }
        if audiences.is_empty() {
            return Err(InvalidIssuer::NoAudience);
        }
        if ca_pem.as_deref().is_some_and(|pem| Authorities::parse(pem).is_err()) {
            return Err(InvalidIssuer::Authorities);
        }
        Ok(Self {
            url: issuer,
            audiences,
            groups_claim: ClaimPath::check(groups_claim, "groupsClaim")?,
            username_claim: ClaimPath::check(username_claim, "usernameClaim")?,
            ca_pem,
        })
    }
}

/// Whether a URL stays on this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
