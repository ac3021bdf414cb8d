//! OIDC issuers whose tokens the internal entry accepts.

use crate::Authorities;
use serde::{Deserialize, Serialize};
use url::Url;

/// An OIDC issuer with discovery.
///
/// Validated by [`Table::parse`](crate::Table::parse) and [`Resource::parse`](crate::push::Resource::parse).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Issuer {
    /// The exact `iss` claim, and the base URL of discovery.
    pub issuer: String,
    /// Accepted `aud` claims; at least one.
    pub audiences: Vec<String>,
    /// The claim with the groups, by name or path (`realm_access.roles`).
    ///
    /// A claim of exactly this name wins over the path: names may hold dots.
    #[serde(default = "Issuer::groups_claim")]
    pub groups_claim: String,
    /// The claim with the user's name, by name or path; `sub` if absent.
    #[serde(default = "Issuer::username_claim")]
    pub username_claim: String,
    /// Root certificates in PEM; the system's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

/// Why an issuer is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIssuer {
    /// Not an absolute URL.
    #[error("`issuer` is not a URL")]
    Url(#[source] url::ParseError),
    /// Keys fetched in clear text can be forged.
    #[error("`issuer` must be https, or http on a loopback address")]
    Scheme,
    /// Without an audience any token of the issuer would pass.
    #[error("`audiences` must name at least one audience")]
    NoAudience,
    /// Not one or more certificates.
    #[error("`caPem` does not hold certificates in PEM")]
    Authorities,
    /// The field with an empty or overlong claim name.
    #[error("`{0}` must have 1 to {max} characters", max = Issuer::CLAIM_BYTES_MAX)]
    Claim(&'static str),
}

impl Issuer {
    /// The longest name or path of a claim, in bytes.
    pub const CLAIM_BYTES_MAX: usize = 256;

    /// The default of [`groups_claim`](Self#structfield.groups_claim).
    pub fn groups_claim() -> String {
        "groups".into()
    }

    /// The default of [`username_claim`](Self#structfield.username_claim).
    pub fn username_claim() -> String {
        "preferred_username".into()
    }

    /// Checks the fields that serde does not.
    ///
    /// # Errors
    /// [`InvalidIssuer`] names the field.
    pub fn check(self) -> Result<Self, InvalidIssuer> {
        let url = Url::parse(&self.issuer).map_err(InvalidIssuer::Url)?;
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return Err(InvalidIssuer::Scheme);
        }
        if self.audiences.is_empty() {
            return Err(InvalidIssuer::NoAudience);
        }
        if self.ca_pem.as_deref().is_some_and(|pem| Authorities::parse(pem).is_err()) {
            return Err(InvalidIssuer::Authorities);
        }
        let claims = [("groupsClaim", &self.groups_claim), ("usernameClaim", &self.username_claim)];
        for (field, claim) in claims {
            if !(1..=Self::CLAIM_BYTES_MAX).contains(&claim.len()) {
                return Err(InvalidIssuer::Claim(field));
            }
        }
        Ok(self)
    }
}

/// Whether the host of a URL is `localhost` or a loopback address.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
