//! Where the operator is: its address, and those of its replicas.

use futures::future::BoxFuture;
use http::Uri;
use rustls::pki_types::ServerName;
use std::{collections::BTreeSet, io, net::SocketAddr, str::FromStr, sync::Arc};
use url::{Host, Url};

/// Finds the addresses of the operator's replicas.
pub type LookUp =
    Arc<dyn Fn() -> BoxFuture<'static, io::Result<BTreeSet<SocketAddr>>> + Send + Sync>;

/// Scheme, host and port of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// All of it.
    pub origin: Uri,
    host: Host<String>,
    port: u16,
}

/// Why a text is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// Not of the form.
    #[error("write the operator's address as `https://host:port`")]
    Form,
    /// Keys and credentials would go over the network for all to read.
    #[error("an operator elsewhere is spoken with over https only")]
    Clear,
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
        let (Some(host), Some(port), true) = (url.host(), url.port_or_known_default(), bare) else {
            return Err(InvalidAddress::Form);
        };
        let is_here = match &host {
            Host::Domain(name) => *name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        if !is_tls && !is_here {
            return Err(InvalidAddress::Clear);
        }
        let origin = url.as_str().parse().map_err(|_form| InvalidAddress::Form)?;
        Ok(Self { is_tls, origin, host: host.to_owned(), port })
    }
}

impl Address {
    /// What a certificate says of this host.
    pub fn server_name(&self) -> Option<ServerName<'static>> {
        match &self.host {
            Host::Domain(name) => ServerName::try_from(name.clone()).ok(),
            Host::Ipv4(address) => Some(ServerName::IpAddress((*address).into())),
            Host::Ipv6(address) => Some(ServerName::IpAddress((*address).into())),
        }
    }

    /// Every address that the host's name has.
    pub fn replicas(&self) -> LookUp {
        let (host, port) = (self.host.clone(), self.port);
        Arc::new(move || Box::pin(look_up(host.clone(), port)))
    }
}

async fn look_up(host: Host<String>, port: u16) -> io::Result<BTreeSet<SocketAddr>> {
    match host {
        Host::Ipv4(address) => Ok([SocketAddr::from((address, port))].into()),
        Host::Ipv6(address) => Ok([SocketAddr::from((address, port))].into()),
        Host::Domain(name) => Ok(tokio::net::lookup_host((name, port)).await?.collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_elsewhere_is_spoken_with_over_https_only() {
        for (text, expected) in [
            ("https://llm-operator:9443", None),
            ("https://llm-operator", None),
            ("https://10.0.0.5:9443/", None),
            ("https://[fd00::1]:9443", None),
            ("http://127.0.0.1:9443", None),
            ("http://[::1]:9443", None),
            ("http://localhost:9443", None),
            ("http://llm-operator:9443", Some(InvalidAddress::Clear)),
            ("http://10.0.0.5:9443", Some(InvalidAddress::Clear)),
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
    fn a_certificate_has_to_name_the_host_of_the_address() {
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
