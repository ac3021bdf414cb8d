//! What the file may say. The doc comments are what an editor shows, by way of the JSON schema.
//!
//! These types only carry text; [`super::check`] decides. A doc comment names the default,
//! because a reader of the schema sees nothing else.

use llm_contract::CredentialHeader;
use schemars::JsonSchema;
use serde::Deserialize;

/// The configuration of `llm-gateway`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(title = "gateway.yaml")]
pub(super) struct File {
    /// The addresses to listen on.
    #[serde(default)]
    pub(super) listen: Listen,
    /// The certificate for both entries; without it they speak plain HTTP.
    pub(super) tls: Option<Tls>,
    /// The folder for keys and everything else that is kept. Default `./data`.
    pub(super) data_dir: Option<String>,
    /// Models on servers of your own.
    #[serde(default)]
    pub(super) models: Vec<Model>,
    /// External services that speak OpenAI's or Anthropic's protocol.
    #[serde(default)]
    pub(super) providers: Vec<Provider>,
    /// Identity providers whose tokens the internal entry accepts.
    #[serde(default)]
    pub(super) issuers: Vec<Issuer>,
    /// Which web pages may call the gateway from a browser.
    #[serde(default)]
    pub(super) cors: Cors,
    /// How much of anything is accepted.
    #[serde(default)]
    pub(super) limits: Limits,
    /// How to stop.
    #[serde(default)]
    pub(super) shutdown: Shutdown,
}

/// The addresses to listen on.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Listen {
    /// For callers with API keys. Default `127.0.0.1:8080`.
    pub(super) external: Option<String>,
    /// For callers with tokens of an issuer. Default `127.0.0.1:8081` if there are issuers.
    pub(super) internal: Option<String>,
    /// For health, metrics and explanations; not for the public. Default `127.0.0.1:9090`.
    pub(super) admin: Option<String>,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Tls {
    /// The certificate and its chain, relative to this file.
    pub(super) certificate: String,
    /// The private key, relative to this file.
    pub(super) key: String,
}

/// A model on servers of your own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Model {
    /// The id by which the servers know the model and clients ask for it.
    pub(super) id: String,
    /// Other ids by which clients may ask for it.
    #[serde(default)]
    pub(super) aliases: Vec<String>,
    /// Where the servers listen, such as `http://10.0.0.5:8000`.
    pub(super) endpoints: Vec<String>,
    /// Who may use it.
    pub(super) access: Access,
    /// How much of it may be used.
    #[serde(default)]
    pub(super) limits: ModelLimits,
    /// What the servers themselves want to see, if anything.
    pub(super) api_key: Option<Reference>,
    /// How long to wait for the servers. Default 5 s, 1 h and 10 m.
    #[serde(default)]
    pub(super) timeouts: Timeouts,
}

/// An external service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Provider {
    /// Its name in logs and metrics.
    pub(super) name: String,
    /// Where it is, such as `https://api.openai.com/v1`.
    pub(super) url: String,
    /// What it wants to see; callers never learn it.
    pub(super) credential: Option<Credential>,
    /// The models to offer.
    #[serde(default)]
    pub(super) models: Vec<ProviderModel>,
    /// Whether it gets every model that nobody else has. Default `false`.
    #[serde(default)]
    pub(super) catch_all: bool,
    /// Who may use it.
    pub(super) access: Access,
    /// How much of each of its models may be used.
    #[serde(default)]
    pub(super) limits: ModelLimits,
    /// How long to wait for it. Default 5 s, 10 m and 2 m.
    #[serde(default)]
    pub(super) timeouts: Timeouts,
    /// Certificate authorities to trust instead of the system's.
    pub(super) ca: Option<CaFile>,
}

/// A model of a provider.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum ProviderModel {
    /// The id, here and there.
    Same(String),
    /// Different ids here and there.
    Renamed(RenamedModel),
}

/// A model that the provider knows by another id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RenamedModel {
    /// The id by which clients ask for it.
    pub(super) id: String,
    /// The id by which the provider knows it.
    pub(super) upstream: Option<String>,
}

/// Who may use a model: exactly one of the two.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("errorMessage" = "say who may use it: `groups: [..]` or `public: true`"))]
pub(super) struct Access {
    /// Members of any of these groups.
    #[serde(default)]
    pub(super) groups: Vec<String>,
    /// Everyone with a valid credential.
    #[serde(default)]
    pub(super) public: bool,
}

/// How much of a model may be used.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ModelLimits {
    /// Requests at a time. Default no limit.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) concurrency: Option<u32>,
}

/// Where a secret is kept: exactly one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("errorMessage" = SECRET_ADVICE))]
pub(super) struct Reference {
    /// The environment variable that holds it.
    pub(super) env: Option<String>,
    /// The file that holds it, relative to this file.
    pub(super) file: Option<String>,
}

/// Where a provider's key is kept, and where it goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("errorMessage" = SECRET_ADVICE))]
pub(super) struct Credential {
    /// The environment variable that holds it.
    pub(super) env: Option<String>,
    /// The file that holds it, relative to this file.
    pub(super) file: Option<String>,
    /// The header it goes into. Default `authorization`, as OpenAI wants it.
    #[serde(default)]
    pub(super) header: Header,
}

/// The header a credential goes into.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(super) enum Header {
    #[default]
    Authorization,
    XApiKey,
    ApiKey,
}

/// Certificate authorities.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct CaFile {
    /// PEM certificates, relative to this file.
    pub(super) file: String,
}

/// How long to wait; durations such as `30s` or `5m`, at most `24h`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Timeouts {
    /// For a connection.
    #[schemars(extend("errorMessage" = DURATION_ADVICE))]
    pub(super) connect: Option<String>,
    /// For the whole exchange.
    #[schemars(extend("errorMessage" = DURATION_ADVICE))]
    pub(super) request: Option<String>,
    /// For the next byte.
    #[schemars(extend("errorMessage" = DURATION_ADVICE))]
    pub(super) idle: Option<String>,
}

/// An OIDC issuer, found by discovery.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Issuer {
    /// Its URL, exactly as tokens have it in `iss`.
    pub(super) issuer: String,
    /// A token must be for one of these.
    pub(super) audiences: Vec<String>,
    /// The claim that holds the groups; nested ones as `realm_access.roles`. Default `groups`.
    pub(super) groups_claim: Option<String>,
    /// The claim that holds the user's name. Default `preferred_username`.
    pub(super) username_claim: Option<String>,
    /// Certificate authorities to trust instead of the system's.
    pub(super) ca: Option<CaFile>,
}

/// Which web pages may call the gateway from a browser.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Cors {
    /// Origins such as `https://chat.example.org`; none if the list is empty. Default any.
    pub(super) origins: Option<Vec<String>>,
}

/// How much of anything is accepted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Limits {
    /// Bytes of a request's body. Default 33554432 (32 MiB).
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub(super) body_bytes: Option<usize>,
    /// Bytes of a request's headers. Default 65536 (64 KiB).
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub(super) header_bytes: Option<usize>,
    /// Connections at a time. Default 20000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) connections: Option<usize>,
}

/// How to stop.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Shutdown {
    /// How long running requests may take to end, at most `24h`. Default `30s`.
    #[schemars(extend("errorMessage" = DURATION_ADVICE))]
    pub(super) drain: Option<String>,
}

/// Said when a duration is anything else.
pub(super) const DURATION_ADVICE: &str = "must be a duration such as `30s` or `5m`, at most `24h`";
/// Said when a reference to a secret is anything else, above all the secret itself.
pub(super) const SECRET_ADVICE: &str =
    "a secret is never written into this file: write `{env: NAME}` or `{file: path}`";
/// Fields that the product will have. They are refused with their own words, so that nobody
/// believes in a limit that nothing enforces.
pub(super) const LATER: &[&str] = &[
    "keys.devUser",
    "keys.listen",
    "models[].limits.queue",
    "models[].limits.requestsPerMinute",
    "models[].limits.tokensPerMinute",
    "models[].pricing",
    "models[].routing",
    "providers[].limits.requestsPerMinute",
    "providers[].limits.tokensPerMinute",
    "providers[].pricing",
    "usage.database",
];

impl From<Header> for CredentialHeader {
    fn from(header: Header) -> Self {
        match header {
            Header::Authorization => Self::Authorization,
            Header::XApiKey => Self::XApiKey,
            Header::ApiKey => Self::ApiKey,
        }
    }
}
