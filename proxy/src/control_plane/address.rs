//! The address of the operator and the addresses of its replicas.

use futures::future::BoxFuture;
use http::Uri;
use rustls::pki_types::ServerName;
use std::{collections::BTreeSet, io, net::SocketAddr, str::FromStr, sync::Arc};
use url::Url;

/// Resolves the addresses of the operator's replicas.
pub type Resolver =
    Arc<dyn Fn() -> BoxFuture<'static, io::Result<BTreeSet<SocketAddr>>> + Send + Sync>;

/// Scheme, host and port of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub is_tls: bool,
    pub origin: Uri,
    /// An IPv6 address without brackets.
    host: String,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    #[error("write the operator's address as `https://host:port`")]
    Form,
    /// Keys and credentials would be sent in clear text.
    #[error("use https, unless the operator is on this machine")]
    NoTls,
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let url = Url::parse(text).map_err(|_form| InvalidAddress::Form)?;
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        let is_tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(InvalidAddress::Form),
        };
        let (Some(host), Some(port), true) = (url.host_str(), url.port_or_known_default(), bare)
        else {
            return Err(InvalidAddress::Form);
        };
        if !is_tls && !llm_contract::is_loopback(&url) {
            return Err(InvalidAddress::NoTls);
        }
        let origin = url.as_str().parse().map_err(|_form| InvalidAddress::Form)?;
        Ok(Self { is_tls, origin, host: host.trim_matches(['[', ']']).to_owned(), port })
    }
}

impl Address {
    /// The name expected in the certificate.
    pub fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.host.clone()).ok()
    }

    /// Resolves all addresses of the host.
    pub fn resolver(&self) -> Resolver {
        let (host, port) = (self.host.clone(), self.port);
        Arc::new(move || {
            let host = host.clone();
            Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_address_needs_no_https() {
        for (text, expected) in [
            ("https://llm-operator:9443", None),
            ("https://llm-operator", None),
            ("https://10.0.0.5:9443/", None),
            ("https://[fd00::1]:9443", None),
            ("http://127.0.0.1:9443", None),
            ("http://[::1]:9443", None),
            ("http://localhost:9443", None),
            ("http://llm-operator:9443", Some(InvalidAddress::NoTls)),
            ("http://10.0.0.5:9443", Some(InvalidAddress::NoTls)),
            ("llm-operator:9443", Some(InvalidAddress::Form)),
            ("https://llm-operator/path", Some(InvalidAddress::Form)),
            ("https://me:secret@llm-operator", Some(InvalidAddress::Form)),
            ("https://llm-operator?x", Some(InvalidAddress::Form)),
            ("grpc://llm-operator", Some(InvalidAddress::Form)),
            ("", Some(InvalidAddress::Form)),
        ] {
            assert_eq!(text.parse::<Address>().err(), expected, "{text}");
        }
    }

    #[test]
    fn the_server_name_is_the_host_of_the_address() {
        for (text, name) in [
            ("https://llm-operator.llm.svc:9443", "llm-operator.llm.svc"),
            ("https://10.0.0.5:9443", "10.0.0.5"),
            ("https://[fd00::1]:9443", "fd00::1"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.server_name().unwrap().to_str(), name);
        }
    }
}
