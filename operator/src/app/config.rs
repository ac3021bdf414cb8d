//! The configuration.

mod options;

pub use options::Options;

use crate::{
    app::settings::OperatorSettings,
    edge::{settings as edge, settings::InvalidEdgeSettings},
    legacy,
};
use llm_contract::{
    InvalidIssuer, document,
    push::{Documents, Kind, Name},
};
use rustls::pki_types::InvalidDnsNameError;
use std::{net::SocketAddr, path::PathBuf};

#[derive(Clone, Debug)]
pub struct Config {
    pub identity: String,
    pub namespace: String,
    pub settings: OperatorSettings,
    pub edge: edge::EdgeSettings,
    pub legacy: legacy::LegacySettings,
    pub push: PushConfig,
    pub admin: SocketAddr,
    /// Of the tokens accepted at the internal entry.
    pub issuers: Vec<document::Issuer>,
}

/// How proxies connect.
#[derive(Clone, Debug)]
pub struct PushConfig {
    pub listen: SocketAddr,
    pub names: Vec<String>,
    /// The audience of the proxies' tokens.
    pub audience: String,
    /// Namespace and name of the proxies' service account.
    pub proxies: (String, String),
}

#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// All at once, so that they can be fixed at once.
    #[error("not set: {}", .0.join(", "))]
    Missing(Vec<&'static str>),
    #[error(transparent)]
    Edge(#[from] InvalidEdgeSettings),
    #[error("LLM_OIDC_ISSUER_URL {url:?}")]
    Issuer { url: String, source: InvalidIssuer },
    #[error(
        "LLM_BASE_DOMAIN {given:?} is not a domain such as example.org, without scheme and path"
    )]
    BaseDomain { given: String, source: InvalidDnsNameError },
    #[error("reading {}", path.display())]
    OidcCa { path: PathBuf, source: std::io::Error },
    #[error("LLM_PROXY_LABELS: {0:?} is not of the form NAME=VALUE")]
    Label(String),
}

impl Config {
    /// The documents of the table that come from the configuration.
    pub fn fixed_documents(&self) -> Documents {
        let mut documents = Documents::default();
        for (kind, text) in [
            (Kind::Settings, serde_json::to_vec(&document::Settings::default())),
            (Kind::Issuers, serde_json::to_vec(&self.issuers)),
        ] {
            // Structs of strings always serialize.
            documents.put(Name::new(kind, ""), text.unwrap_or_default().into());
        }
        documents
    }
}

#[cfg(test)]
mod tests;
