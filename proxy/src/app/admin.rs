//! Where the admin listener of a gateway that runs is.

use std::{fmt, str::FromStr};
use url::Url;

/// Where the admin listener of a gateway that runs is, perhaps behind something that forwards to
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin(Url);

/// Why a text says of no admin listener where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an address such as `127.0.0.1:9090`, or a URL such as `http://llm-proxy:9090`")]
pub struct InvalidAdmin;

impl Admin {
    /// The scheme of its URL.
    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }

    /// The URL of one of its paths.
    pub fn at(&self, path: &str) -> String {
        format!("{self}{path}")
    }
}

impl FromStr for Admin {
    type Err = InvalidAdmin;

    fn from_str(text: &str) -> Result<Self, InvalidAdmin> {
        let url = if text.contains("://") {
            Url::parse(text)
        } else if text.contains('/') {
            return Err(InvalidAdmin);
        } else {
            Url::parse(&format!("http://{text}"))
        };
        let url = url.map_err(|_form| InvalidAdmin)?;
        let is_known = ["http", "https"].contains(&url.scheme());
        let is_bare = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if is_known && is_bare { Ok(Self(url)) } else { Err(InvalidAdmin) }
    }
}

impl fmt::Display for Admin {
    /// The URL, without a `/` at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_listener_is_at_an_address_or_a_url() {
        for (text, path) in [
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
            let admin = text.parse::<Admin>().ok();
            assert_eq!(admin.map(|it| it.at("/table")).as_deref(), path, "{text:?}");
        }
    }
}
