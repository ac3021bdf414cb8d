//! Settings of the edge: host names, certificate and exposure.

use std::fmt;

/// One of the two public entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    /// For callers with API keys.
    External,
    /// For callers with identity provider tokens.
    Internal,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeSettings {
    pub(super) namespace: String,
    pub(super) base_domain: String,
    pub(super) certificate: CertificateSource,
    pub(super) exposure: Exposure,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// By cert-manager.
    Issued { cluster_issuer: String },
    /// In a Secret in the operator's namespace.
    Provided { secret: String },
}

/// How callers reach the proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Through Gateways of the platform, which terminate TLS.
    Gateways(Gateways),
    /// Directly: the proxies terminate TLS.
    Direct,
}

/// The platform's Gateways, and the Service of the proxies behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateways {
    pub external: Hop,
    /// May be on the same Gateway as the external one.
    pub internal: Hop,
    /// The Service of the proxies, in the operator's namespace.
    pub service: String,
    pub listeners: ListenerOwner,
}

/// A Gateway, and the port of the proxies behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    pub gateway: GatewayName,
    /// The port of the proxies' Service, which identifies the entry.
    pub port: u16,
}

/// Who manages the two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerOwner {
    /// The operator adds them to the Gateways.
    Operator,
    /// The administrators of the Gateways; the operator does not write Gateways.
    Administrator,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GatewayName {
    pub namespace: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is empty: {remedy}")]
pub struct InvalidEdgeSettings {
    setting: &'static str,
    remedy: &'static str,
}

impl EdgeSettings {
    pub fn check(
        namespace: String,
        base_domain: String,
        certificate: CertificateSource,
        exposure: Exposure,
    ) -> Result<Self, InvalidEdgeSettings> {
        let require = |value: &str, setting, remedy| match value {
            "" => Err(InvalidEdgeSettings { setting, remedy }),
            _ => Ok(()),
        };
        require(&namespace, "the operator's namespace", "set POD_NAMESPACE")?;
        require(
            &base_domain,
            "platform.baseDomain",
            "specify the domain under which models are available",
        )?;
        match &certificate {
            CertificateSource::Issued { cluster_issuer } => require(
                cluster_issuer,
                "platform.tls.clusterIssuer",
                "specify a ClusterIssuer of cert-manager, or a Secret in platform.tls.secretName",
            )?,
            CertificateSource::Provided { secret } => {
                require(
                    secret,
                    "platform.tls.secretName",
                    "specify the Secret that holds the certificate",
                )?;
            }
        }
        if let Exposure::Gateways(gateways) = &exposure {
            for hop in [&gateways.external, &gateways.internal] {
                let remedy = "specify the Gateways in platform.gateway";
                require(&hop.gateway.name, "the name of a Gateway", remedy)?;
                require(&hop.gateway.namespace, "the namespace of a Gateway", remedy)?;
            }
            require(
                &gateways.service,
                "the Service of the proxies",
                "specify it in the configuration",
            )?;
        }
        Ok(Self { namespace, base_domain, certificate, exposure })
    }

    pub fn host(&self, entry: Entry) -> String {
        match entry {
            Entry::External => format!("llm.{}", self.base_domain),
            Entry::Internal => format!("llm-internal.{}", self.base_domain),
        }
    }

    pub(super) fn hosts(&self) -> [String; 2] {
        Entry::ALL.map(|entry| self.host(entry))
    }

    /// The Secret with the certificate for both host names.
    pub fn certificate_secret(&self) -> &str {
        match &self.certificate {
            CertificateSource::Issued { .. } => super::certificate::NAME,
            CertificateSource::Provided { secret } => secret,
        }
    }

    pub fn exposure(&self) -> &Exposure {
        &self.exposure
    }

    pub(super) fn gateways(&self) -> Option<&Gateways> {
        match &self.exposure {
            Exposure::Gateways(gateways) => Some(gateways),
            Exposure::Direct => None,
        }
    }
}

impl Gateways {
    pub fn hop(&self, entry: Entry) -> &Hop {
        match entry {
            Entry::External => &self.external,
            Entry::Internal => &self.internal,
        }
    }
}

impl Entry {
    pub const ALL: [Self; 2] = [Self::External, Self::Internal];

    /// The name of its listener on a Gateway, and of the HTTPRoute on that listener.
    pub const fn listener(self) -> &'static str {
        match self {
            Self::External => "llm-https",
            Self::Internal => "llm-internal-https",
        }
    }

    /// The name in settings and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name } = self;
        write!(f, "{namespace}/{name}")
    }
}
