//! The fields of the file. Editors show the doc comments, by way of the JSON schema, so these name
//! the defaults. [`super::check`] checks the values.

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
    /// The folder for keys, usage and other data. Default `./data`.
    pub(super) data_dir: Option<String>,
    /// Models on your own servers.
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
    /// Limits on requests and connections.
    #[serde(default)]
    pub(super) limits: ListenerLimits,
    /// How the gateway stops.
    #[serde(default)]
    pub(super) shutdown: Shutdown,
}

/// The addresses to listen on.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Listen {
    /// For clients with API keys. Default `127.0.0.1:8080`.
    pub(super) external: Option<String>,
    /// For clients with tokens of an issuer. Default `127.0.0.1:8081` if there are issuers.
    pub(super) internal: Option<String>,
    /// For health, metrics and explanations; keep it private. Default `127.0.0.1:9090`.
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

/// A model on your own servers.
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
    /// Limits on its use.
    #[serde(default)]
    pub(super) limits: ModelLimits,
    /// The key that the servers require, if any.
    pub(super) api_key: Option<SecretRef>,
    /// Timeouts for the servers. Default 5 s, 1 h and 10 m.
    #[serde(default)]
    pub(super) timeouts: Timeouts,
}

/// An external service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Provider {
    /// Its name in logs and metrics.
    pub(super) name: String,
    /// Its URL, such as `https://api.openai.com/v1`.
    pub(super) url: String,
    /// Its credential, which clients never see.
    pub(super) credential: Option<Credential>,
    /// Its models.
    #[serde(default)]
    pub(super) models: Vec<ProviderModel>,
    /// Whether requests for all other models go to it. Default `false`.
    #[serde(default)]
    pub(super) catch_all: bool,
    /// Who may use it.
    pub(super) access: Access,
    /// Limits on the use of each of its models.
    #[serde(default)]
    pub(super) limits: ModelLimits,
    /// Timeouts for it. Default 5 s, 10 m and 2 m.
    #[serde(default)]
    pub(super) timeouts: Timeouts,
    /// Certificate authorities to trust instead of the system's.
    pub(super) ca: Option<CaFile>,
}

/// A model of a provider.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum ProviderModel {
    /// The id, for clients and for the provider.
    Same(String),
    /// Different ids for clients and for the provider.
    Renamed(RenamedModel),
}

/// A model with another id at the provider.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RenamedModel {
    /// The id by which clients ask for it.
    pub(super) id: String,
    /// The id at the provider.
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

/// Limits on the use of a model.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ModelLimits {
    /// Concurrent requests. Default unlimited.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) concurrency: Option<u32>,
}

/// A reference to a secret: exactly one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("errorMessage" = SECRET_ADVICE))]
pub(super) struct SecretRef {
    /// The environment variable that holds it.
    pub(super) env: Option<String>,
    /// The file that holds it, relative to this file.
    pub(super) file: Option<String>,
}

/// A provider's credential, and the header for it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("errorMessage" = SECRET_ADVICE))]
pub(super) struct Credential {
    /// The environment variable that holds it.
    pub(super) env: Option<String>,
    /// The file that holds it, relative to this file.
    pub(super) file: Option<String>,
    /// The header for it. Default `authorization`, as for OpenAI.
    #[serde(default)]
    pub(super) header: Header,
}

/// The header for a credential.
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

/// Timeouts; durations such as `30s` or `5m`, at most `24h`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Timeouts {
    /// To connect.
    #[schemars(extend("errorMessage" = DURATION_ADVICE))]
    pub(super) connect: Option<String>,
    /// For the whole request and response.
    #[schemars(extend("errorMessage" = DURATION_ADVICE))]
    pub(super) request: Option<String>,
    /// Between two chunks of a response.
    #[schemars(extend("errorMessage" = DURATION_ADVICE))]
    pub(super) idle: Option<String>,
}

/// An OIDC issuer, found by discovery.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Issuer {
    /// Its URL, exactly as in the `iss` claim of tokens.
    pub(super) issuer: String,
    /// Accepted audiences; a token needs one of them.
    pub(super) audiences: Vec<String>,
    /// The claim with the groups; nested as `realm_access.roles`. Default `groups`.
    pub(super) groups_claim: Option<String>,
    /// The claim with the user's name. Default `preferred_username`.
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

/// Limits on requests and connections.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ListenerLimits {
    /// The largest request body, in bytes. Default 33554432 (32 MiB).
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub(super) body_bytes: Option<usize>,
    /// The largest request header, in bytes. Default 65536 (64 KiB).
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub(super) header_bytes: Option<usize>,
    /// The most connections on each listener. Default 20000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) connections: Option<usize>,
}

/// How the gateway stops.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Shutdown {
    /// How long running requests may take to finish, at most `24h`. Default `30s`.
    #[schemars(extend("errorMessage" = DURATION_ADVICE))]
    pub(super) drain: Option<String>,
}

pub(super) const DURATION_ADVICE: &str = "must be a duration such as `30s` or `5m`, at most `24h`";
/// For anything but a reference, above all for the secret itself.
pub(super) const SECRET_ADVICE: &str =
    "a secret must not be in this file: write `{env: NAME}` or `{file: path}`";
/// Documented fields of later versions, refused with a message of their own: a limit that nothing
/// enforces must not be accepted.
pub(super) const UNSUPPORTED: &[&str] = &[
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
