//! The configuration: what `gateway.yaml` says, checked, and the route table it becomes.
//!
//! Text becomes a [`tree`](self) of values with their lines, is held against the schema, becomes
//! `File`, and is checked into [`Config`]. Only [`load()`] touches files and the environment.

mod mistake;
mod tree;
mod file;
mod shape;
mod check;
mod table;
mod load;

pub use load::{Environment, Loaded, Pem, data_dir, load};
pub use mistake::{FieldPath, Mistake, Mistakes, Step};
pub use shape::schema;

use llm_contract::{Access, CredentialHeader, ModelId, Secret, Timeouts};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// Where everything is kept that nothing says otherwise of.
pub const DATA_DIR: &str = "data";

/// The largest file, in bytes.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Everything the gateway is told. `S` is what secrets are: a [`Reference`] as the file has it,
/// a [`Secret`] once it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config<S = Secret> {
    /// The addresses to listen on; no address twice.
    pub listen: Listen,
    /// The certificate for both entries.
    pub tls: Option<Tls>,
    /// The folder for everything that is kept.
    pub data_dir: PathBuf,
    /// Models on servers of our own; no id or alias twice.
    pub models: Vec<Model<S>>,
    /// External services; no name twice, no model twice.
    pub providers: Vec<Provider<S>>,
    /// For the internal entry; no URL twice.
    pub issuers: Vec<Issuer<S>>,
    /// Which web pages may call; any if `None`.
    pub cors_origins: Option<Vec<String>>,
    /// How much of anything is accepted.
    pub limits: Limits,
    /// How long running requests may take to end.
    pub drain: Duration,
}

/// The addresses to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// For API keys.
    pub external: SocketAddr,
    /// For tokens of the issuers; there if and only if there are issuers.
    pub internal: Option<SocketAddr>,
    /// For health, metrics and explanations.
    pub admin: SocketAddr,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A model on servers of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model<S> {
    /// The id by which the servers know it.
    pub id: ModelId,
    /// Other ids by which clients may ask for it.
    pub aliases: Vec<ModelId>,
    /// `http://host:port`; at least one, none twice.
    pub endpoints: Vec<String>,
    /// Who may use it.
    pub access: Access,
    /// Requests at a time.
    pub concurrency: Option<u32>,
    /// What the servers want to see.
    pub api_key: Option<S>,
    /// How long to wait for them.
    pub timeouts: Timeouts,
}

/// An external service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider<S> {
    /// Its name in logs and metrics.
    pub name: String,
    /// Scheme, host, port and path prefix.
    pub url: String,
    /// What it wants to see, and where.
    pub credential: Option<(CredentialHeader, S)>,
    /// What it offers by name.
    pub models: Vec<ProviderModel>,
    /// Whether it gets every model that nobody else has.
    pub catch_all: bool,
    /// Who may use it.
    pub access: Access,
    /// Requests at a time, for each of its models.
    pub concurrency: Option<u32>,
    /// PEM certificates to trust instead of the system's.
    pub ca: Option<S>,
    /// How long to wait for it.
    pub timeouts: Timeouts,
}

/// A model of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderModel {
    /// The id by which clients ask for it.
    pub id: ModelId,
    /// The id by which the provider knows it, if it is another.
    pub upstream: Option<ModelId>,
}

/// An OIDC issuer, found by discovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer<S> {
    /// As tokens have it in `iss`.
    pub url: String,
    /// A token must be for one of these; at least one.
    pub audiences: Vec<String>,
    /// Where the groups are.
    pub groups_claim: String,
    /// Where the user's name is.
    pub username_claim: String,
    /// PEM certificates to trust instead of the system's.
    pub ca: Option<S>,
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// In this environment variable.
    Env(String),
    /// In this file.
    File(PathBuf),
}

/// What a referenced text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It goes into a header.
    Header,
    /// It is certificates to trust, as PEM.
    Certificates,
}

/// How much of anything is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// Bytes of a request's headers.
    pub header_bytes_max: usize,
    /// Connections at a time.
    pub connections_max: usize,
}

impl Config<Reference> {
    /// Reads a file's text; paths in it are relative to `folder`. Touches no file.
    ///
    /// # Errors
    /// Everything that is wrong with it, at least one mistake.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Vec<Mistake>> {
        parse(text, folder).map(|(config, _lines)| config)
    }
}

impl Config {
    /// The configuration without a file: these models of one server, for everyone with a key.
    ///
    /// # Errors
    /// What is wrong with the URL or an id.
    pub fn of_upstream(url: &str, models: Vec<String>) -> Result<Self, Vec<Mistake>> {
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
        let config = check::check(file::File { models, ..file::File::default() }, Path::new(""))?;
        // Nothing refers to a secret here, so nothing is read.
        config.resolve(&mut |_path, _reference, _purpose| None).ok_or_else(Vec::new)
    }
}

impl Listen {
    /// Where the external entry listens by default.
    pub const EXTERNAL: SocketAddr = loopback(8080);
    /// Where the internal entry listens by default.
    pub const INTERNAL: SocketAddr = loopback(8081);
    /// Where the admin endpoint listens by default.
    pub const ADMIN: SocketAddr = loopback(9090);
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 32 * 1024 * 1024,
            header_bytes_max: 64 * 1024,
            connections_max: 20_000,
        }
    }
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Also returns the tree, so that a mistake found later can still be given its line.
fn parse(text: &str, folder: &Path) -> Result<(Config<Reference>, tree::Node), Vec<Mistake>> {
    let tree = tree_of(text)?;
    let (json, mut mistakes) = shape::check(&tree);
    // Unknown fields do not hide what else is wrong; a value of the wrong kind may.
    match serde_json::from_value::<file::File>(json) {
        Ok(file) => match check::check(file, folder) {
            Ok(config) if mistakes.is_empty() => return Ok((config, tree)),
            Ok(_) => {}
            Err(found) => mistakes.extend(found),
        },
        Err(error) if mistakes.is_empty() => {
            mistakes.push(Mistake::new(&FieldPath::default(), error.to_string()));
        }
        Err(_) => {}
    }
    Err(locate(mistakes, &tree))
}

/// The folder that a file names for what is kept. Only what is wrong with the file's own fields
/// counts: somebody may edit a model while a key must be revoked.
fn kept_in(text: &str, folder: &Path) -> Result<PathBuf, Vec<Mistake>> {
    let tree = tree_of(text)?;
    let (json, mistakes) = shape::check(&tree);
    if mistakes.iter().any(|mistake| mistake.path.steps().len() < 2) {
        return Err(locate(mistakes, &tree));
    }
    Ok(check::data_dir(json.get("dataDir").and_then(serde_json::Value::as_str), folder))
}

fn tree_of(text: &str) -> Result<tree::Node, Vec<Mistake>> {
    if FILE_BYTES_MAX < text.len() {
        let message = format!("larger than {FILE_BYTES_MAX} bytes");
        return Err(vec![Mistake::new(&FieldPath::default(), message)]);
    }
    tree::Node::parse(text).map_err(|mistake| vec![mistake])
}

/// Gives each mistake its line, and puts them in the file's order.
fn locate(mut mistakes: Vec<Mistake>, tree: &tree::Node) -> Vec<Mistake> {
    for mistake in &mut mistakes {
        mistake.line.get_or_insert_with(|| tree.line_of(&mistake.path));
    }
    mistakes.sort_by_key(|mistake| mistake.line);
    mistakes.truncate(Mistakes::MAX);
    mistakes
}

#[cfg(test)]
mod tests;
