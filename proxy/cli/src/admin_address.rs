//! The address of a running gateway's admin listener.

use std::{fmt, str::FromStr};
use url::Url;

/// The admin listener of a running gateway, perhaps behind a reverse proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminAddress(Url);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an address such as `127.0.0.1:9090`, or a URL such as `http://llm-proxy:9090`")]
pub struct InvalidAdminAddress;

impl AdminAddress {
    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }

    /// The URL of a path such as `/table`.
    pub fn url(&self, path: &str) -> String {
        format!("{self}{path}")
    }
}

impl FromStr for AdminAddress {
    type Err = InvalidAdminAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAdminAddress> {
        let url = if text.contains("://") {
            Url::parse(text)
        } else if text.contains('/') {
            return Err(InvalidAdminAddress);
        } else {
            Url::parse(&format!("http://{text}"))
        };
        let url = url.map_err(|_form| InvalidAdminAddress)?;
        let is_known = ["http", "https"].contains(&url.scheme());
        let is_bare = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if is_known && is_bare { Ok(Self(url)) } else { Err(InvalidAdminAddress) }
    }
}

impl fmt::Display for AdminAddress {
    /// The URL without a trailing `/`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_listener_is_at_an_address_or_a_url() {
        for (text, url) in [
            ("127.0.0.1:9090", Some("http://127.0.0.1:9090/table")),
            ("[::1]:9090", Some("http://[::1]:9090/table")),
            ("llm-proxy.llm.svc:9090", Some("http://llm-proxy.llm.svc:9090/table")),
            ("http://llm-proxy:9090", Some("http://llm-proxy:9090/table")),
            ("https://admin.example/proxies/a/", Some("https://admin.example/proxies/a/table")),
            ("llm-proxy:9090/table", None),
            ("ftp://llm-proxy", None),
            ("http://me:secret@llm-proxy", None),
            ("http://llm-proxy?x", None),
            ("", None),
        ] {
            let address = text.parse::<AdminAddress>().ok();
            assert_eq!(address.map(|it| it.url("/table")).as_deref(), url, "{text:?}");
        }
    }
}
