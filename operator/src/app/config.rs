//! What the operator is told at its start.

mod options;

pub use options::Options;

use crate::{
    app::settings::Settings,
    edge::{settings as edge, settings::InvalidEdgeSettings},
    legacy,
};
use llm_contract::{
    InvalidIssuer, document,
    push::{Documents, Kind, Name},
};
use rustls::pki_types::InvalidDnsNameError;
use std::{net::SocketAddr, path::PathBuf};

/// What the operator goes by, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of this replica.
    pub identity: String,
    /// Where it runs.
    pub namespace: String,
    /// What holds for every model.
    pub settings: Settings,
    /// By which names and through what models are reached.
    pub edge: edge::EdgeSettings,
    /// What becomes of what the older pack left.
    pub legacy: legacy::LegacySettings,
    /// How proxies are served.
    pub push: Push,
    /// Where health and metrics are.
    pub admin: SocketAddr,
    /// Whose tokens are accepted at the internal entry.
    pub issuers: Vec<document::Issuer>,
}

/// How proxies are served.
#[derive(Clone, Debug)]
pub struct Push {
    /// Where they connect to.
    pub listen: SocketAddr,
    /// By which names they do.
    pub names: Vec<String>,
    /// Whom their tokens must be for.
    pub audience: String,
    /// Whose tokens they must be: `namespace` and `name` of a service account.
    pub proxies: (String, String),
}

/// Why the operator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// All that is missing, so that it can be mended at once.
    #[error("not set: {}", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// See the source.
    #[error(transparent)]
    Edge(#[from] InvalidEdgeSettings),
    /// See the source.
    #[error("LLM_OIDC_ISSUER_URL {url:?}")]
    Issuer {
        /// As given.
        url: String,
        /// What is wrong with it.
        source: InvalidIssuer,
    },
    /// Not a name in DNS.
    #[error("LLM_BASE_DOMAIN {given:?} is no domain such as example.org, without scheme and path")]
    BaseDomain {
        /// As given.
        given: String,
        /// What is wrong with it.
        source: InvalidDnsNameError,
    },
    /// The file of the issuer's authorities.
    #[error("reading {}", path.display())]
    Authorities {
        /// As given.
        path: PathBuf,
        /// What failed.
        source: std::io::Error,
    },
    /// Not `NAME=VALUE`.
    #[error("LLM_PROXY_LABELS: {0:?} is not of the form NAME=VALUE")]
    Label(String),
}

impl Config {
    /// What applies to the whole table and comes from here.
    pub fn fixed_documents(&self) -> Documents {
        let settings = document::Settings::default();
        let parts = [
            (Kind::Settings, serde_json::to_vec(&settings)),
            (Kind::Issuers, serde_json::to_vec(&self.issuers)),
        ];
        let mut documents = Documents::default();
        for (kind, text) in parts {
            // Structs of strings always become JSON.
            documents.put(Name::new(kind, ""), text.unwrap_or_default().into());
        }
        documents
    }
}

#[cfg(test)]
mod tests;
