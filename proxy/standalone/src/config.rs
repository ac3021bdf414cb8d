//! The configuration file `gateway.yaml`, and the route table it becomes.
//!
//! Text is parsed into YAML with lines, validated against the schema, deserialized into `File`, and
//! checked into [`Config`]. Files and the environment are read by a function that [`load()`] passes.

mod error;
mod yaml;
mod file;
mod schema;
mod check;
mod table;
mod load;

pub use error::{ConfigError, ConfigErrors, FieldPath, PathSegment};
pub use load::{Environment, LoadedConfig, data_dir, load};
pub use schema::schema;

use llm_contract::{Access, CredentialHeader, ModelId, Secret, Timeouts};
use llm_proxy::tls::{Certificate, InvalidCertificate};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// The default data folder.
pub const DATA_DIR: &str = "data";

/// The largest file, in bytes.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// A checked configuration, secrets and certificates included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Distinct addresses.
    pub listen: Listen,
    /// For both entries.
    pub tls: Option<CertificatePem>,
    pub data_dir: PathBuf,
    /// Distinct ids and aliases.
    pub models: Vec<Model>,
    /// Distinct names and models.
    pub providers: Vec<Provider>,
    /// Distinct URLs.
    pub issuers: Vec<Issuer>,
    /// Any origin if `None`.
    pub cors_origins: Option<Vec<String>>,
    pub limits: ListenerLimits,
    /// How long running requests may take to finish at shutdown.
    pub drain: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// For clients with API keys.
    pub external: SocketAddr,
    /// For clients with OIDC tokens; `None` without issuers.
    pub internal: Option<SocketAddr>,
    pub admin: SocketAddr,
}

/// A certificate chain and its private key, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatePem {
    pub chain: Secret,
    pub key: Secret,
}

/// A served model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The id on the servers and for clients.
    pub id: ModelId,
    /// Other ids for clients.
    pub aliases: Vec<ModelId>,
    /// Distinct URLs `http://host:port`, at least one.
    pub endpoints: Vec<String>,
    pub access: Access,
    pub concurrency: Option<u32>,
    /// The key that the servers require.
    pub api_key: Option<Secret>,
    pub timeouts: Timeouts,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The name in logs and metrics.
    pub name: String,
    /// Scheme, host, port and path prefix.
    pub url: String,
    pub credential: Option<(CredentialHeader, Secret)>,
    pub models: Vec<ProviderModel>,
    /// Whether requests for all other models go to it.
    pub catch_all: bool,
    pub access: Access,
    /// For each of its models.
    pub concurrency: Option<u32>,
    /// PEM certificates to trust instead of the system's.
    pub ca: Option<Secret>,
    pub timeouts: Timeouts,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderModel {
    pub id: ModelId,
    /// The id at the provider, if different.
    pub upstream: Option<ModelId>,
}

/// An OIDC issuer, found by discovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The `iss` claim of its tokens.
    pub url: String,
    /// Accepted audiences; at least one.
    pub audiences: Vec<String>,
    pub groups_claim: String,
    pub username_claim: String,
    /// PEM certificates to trust instead of the system's.
    pub ca: Option<Secret>,
}

/// A reference to a secret or to certificates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    File(PathBuf),
}

/// Reads what a reference refers to, or fails with a message for people.
pub type ReadSecret<'a> = dyn FnMut(&SecretRef) -> Result<Secret, String> + 'a;

/// Limits on requests and connections of the listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    pub body_bytes_max: usize,
    pub header_bytes_max: usize,
    pub connections_max: usize,
}

impl Config {
    /// Parses a file's text, in which paths are relative to `folder`. Returns all errors, at least
    /// one.
    pub fn parse(
        text: &str,
        folder: &Path,
        read: &mut ReadSecret<'_>,
    ) -> Result<Self, Vec<ConfigError>> {
        let yaml = parse_yaml(text)?;
        let (json, mut errors) = schema::validate(&yaml);
        // Unknown fields do not hide other errors; a value of the wrong type may.
        match serde_json::from_value::<file::File>(json) {
            Ok(file) => match check::check(file, folder, read) {
                Ok(config) if errors.is_empty() => return Ok(config),
                Ok(_) => {}
                Err(found) => errors.extend(found),
            },
            Err(error) if errors.is_empty() => {
                errors.push(ConfigError::of_file(error.to_string()));
            }
            Err(_) => {}
        }
        Err(with_lines(errors, &yaml))
    }

    /// A configuration without a file: models of one server, for everyone with a key.
    pub fn of_model_server(url: &str, models: Vec<String>) -> Result<Self, Vec<ConfigError>> {
        let model = |id| file::Model {
            id,
            aliases: Vec::new(),
            endpoints: vec![url.trim_end_matches('/').to_owned()],
            access: file::Access { groups: Vec::new(), public: true },
            limits: file::ModelLimits::default(),
            api_key: None,
            timeouts: file::Timeouts::default(),
        };
        let models = models.into_iter().map(model).collect();
        let file = file::File { models, ..file::File::default() };
        check::check(file, Path::new(""), &mut no_secrets)
    }
}

/// For configurations that refer to no secrets.
pub(crate) fn no_secrets(secret: &SecretRef) -> Result<Secret, String> {
    Err(format!("{secret} cannot be read here"))
}

impl CertificatePem {
    pub fn parse(&self) -> Result<Certificate, InvalidCertificate> {
        Certificate::parse(self.chain.reveal().as_bytes(), self.key.reveal().as_bytes())
    }
}

impl Listen {
    // Defaults.
    pub const EXTERNAL: SocketAddr = loopback(8080);
    pub const INTERNAL: SocketAddr = loopback(8081);
    pub const ADMIN: SocketAddr = loopback(9090);
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 32 * 1024 * 1024,
            header_bytes_max: 64 * 1024,
            connections_max: 20_000,
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable `{name}`"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// The data folder of a file. Only errors in top-level fields count, so that a key can be revoked
/// while a model is being edited.
fn parse_data_dir(text: &str, folder: &Path) -> Result<PathBuf, Vec<ConfigError>> {
    let yaml = parse_yaml(text)?;
    let (json, errors) = schema::validate(&yaml);
    if errors.iter().any(|error| error.path.segments().len() < 2) {
        return Err(with_lines(errors, &yaml));
    }
    Ok(check::data_dir(json.get("dataDir").and_then(serde_json::Value::as_str), folder))
}

fn parse_yaml(text: &str) -> Result<yaml::YamlNode, Vec<ConfigError>> {
    if FILE_BYTES_MAX < text.len() {
        return Err(vec![ConfigError::of_file(format!("larger than {FILE_BYTES_MAX} bytes"))]);
    }
    yaml::YamlNode::parse(text).map_err(|error| vec![error])
}

/// Adds lines, and sorts by them.
fn with_lines(mut errors: Vec<ConfigError>, yaml: &yaml::YamlNode) -> Vec<ConfigError> {
    for error in &mut errors {
        error.line.get_or_insert_with(|| yaml.line_of(&error.path));
    }
    errors.sort_by_key(|error| error.line);
    errors.truncate(ConfigErrors::MAX);
    errors
}

#[cfg(test)]
mod tests;
