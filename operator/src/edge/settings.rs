//! What the edge is told: by which names models are reached, and through what.

use std::fmt;

/// One of the two public faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    /// For programs outside, with an API key.
    External,
    /// For programs inside, with the token they already have.
    Internal,
}

/// By which names models are reached, and through what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(super) namespace: String,
    pub(super) base_domain: String,
    pub(super) certificate: CertificateSource,
    pub(super) exposure: Exposure,
}

/// Where the certificate for both names comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// cert-manager issues it.
    Issued {
        /// The ClusterIssuer it is asked of.
        cluster_issuer: String,
    },
    /// Somebody keeps it in a Secret.
    Provided {
        /// The Secret, in the operator's namespace.
        secret: String,
    },
}

/// What stands between callers and the proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Gateways of the platform, which terminate TLS.
    Gateways(Gateways),
    /// Nothing: the proxies terminate TLS themselves.
    Direct,
}

/// The platform's Gateways, and where they send what arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateways {
    /// For the external entry.
    pub external: Hop,
    /// For the internal one; it may be on the same Gateway.
    pub internal: Hop,
    /// The Service of the proxies, in the operator's namespace.
    pub service: String,
    /// Who keeps the listeners.
    pub listeners: ListenerOwner,
}

/// From a Gateway to a port of the proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Where requests arrive.
    pub gateway: GatewayName,
    /// The port of the proxies' Service they go to; it decides which entry they came through.
    pub port: u16,
}

/// Who keeps the two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerOwner {
    /// The operator puts them on the Gateways.
    Operator,
    /// The administrators of the Gateways did; the operator writes nothing there.
    Administrator,
}

/// A Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GatewayName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A setting that must not be empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is empty: {remedy}")]
pub struct EmptySetting {
    setting: &'static str,
    remedy: &'static str,
}

impl Settings {
    /// Puts the settings together.
    ///
    /// # Errors
    /// [`EmptySetting`]: without it no certificate could be asked for, or nothing could be found.
    pub fn check(
        namespace: String,
        base_domain: String,
        certificate: CertificateSource,
        exposure: Exposure,
    ) -> Result<Self, EmptySetting> {
        let needs = |value: &str, setting, remedy| match value {
            "" => Err(EmptySetting { setting, remedy }),
            _ => Ok(()),
        };
        needs(&namespace, "the operator's namespace", "set POD_NAMESPACE")?;
        needs(
            &base_domain,
            "platform.baseDomain",
            "name the domain under which models are reached",
        )?;
        match &certificate {
            CertificateSource::Issued { cluster_issuer } => needs(
                cluster_issuer,
                "platform.tls.clusterIssuer",
                "name a ClusterIssuer of cert-manager, or a Secret in platform.tls.secretName",
            )?,
            CertificateSource::Provided { secret } => {
                needs(
                    secret,
                    "platform.tls.secretName",
                    "name the Secret that holds the certificate",
                )?;
            }
        }
        if let Exposure::Gateways(gateways) = &exposure {
            for hop in [&gateways.external, &gateways.internal] {
                let remedy = "name the Gateways in platform.gateway";
                needs(&hop.gateway.name, "the name of a Gateway", remedy)?;
                needs(&hop.gateway.namespace, "the namespace of a Gateway", remedy)?;
            }
            needs(&gateways.service, "the Service of the proxies", "name it in the configuration")?;
        }
        Ok(Self { namespace, base_domain, certificate, exposure })
    }

    /// The host name of an entry.
    pub fn host(&self, entry: Entry) -> String {
        match entry {
            Entry::External => format!("llm.{}", self.base_domain),
            Entry::Internal => format!("llm-internal.{}", self.base_domain),
        }
    }

    /// Both host names.
    pub(super) fn hosts(&self) -> [String; 2] {
        Entry::ALL.map(|entry| self.host(entry))
    }

    /// The Secret that holds the certificate for both names.
    pub fn certificate_secret(&self) -> &str {
        match &self.certificate {
            CertificateSource::Issued { .. } => super::certificate::NAME,
            CertificateSource::Provided { secret } => secret,
        }
    }

    /// What stands between callers and the proxies.
    pub fn exposure(&self) -> &Exposure {
        &self.exposure
    }

    /// The platform's Gateways, if they are to be used.
    pub(super) fn gateways(&self) -> Option<&Gateways> {
        match &self.exposure {
            Exposure::Gateways(gateways) => Some(gateways),
            Exposure::Direct => None,
        }
    }
}

impl Gateways {
    /// How requests get in through an entry.
    pub fn hop(&self, entry: Entry) -> &Hop {
        match entry {
            Entry::External => &self.external,
            Entry::Internal => &self.internal,
        }
    }
}

impl Entry {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::External, Self::Internal];

    /// The name of its listener on a Gateway, and of the HTTPRoute on that listener.
    pub const fn listener(self) -> &'static str {
        match self {
            Self::External => "llm-https",
            Self::Internal => "llm-internal-https",
        }
    }

    /// How it is called in settings and messages.
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
