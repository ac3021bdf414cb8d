//! A provider, and our account with it.

use crate::{
    DurationText,
    rule::{self, rule},
};
use serde::{Deserialize, Serialize};

/// The headers that the gateway writes itself, or that say where a message ends and who asks, as
/// CEL has a list.
pub(super) const RESERVED: &str = "['accept-encoding', 'api-key', 'authorization', 'connection', \
    'content-encoding', 'content-length', 'content-type', 'cookie', 'expect', 'host', \
    'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', \
    'trailer', 'transfer-encoding', 'upgrade', 'x-api-key', 'x-client-id', 'x-llm-client-id', \
    'x-request-id']";

/// A provider, and our account with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = provider_rules()))]
pub struct Provider {
    /// The host name of the provider, without scheme, port and path, for example `openrouter.ai`.
    /// Required unless `backend.type` is `Bedrock`. The proxies send callers' requests there, to
    /// any host they can reach but for loopback and link-local addresses: a NetworkPolicy for them
    /// says which those are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 254), extend("x-kubernetes-validations" = [
        rule("!self.contains('://')", "must be a bare host name: drop the scheme"),
        rule(
            "self.contains('://') || self.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?[.]?$')",
            "must be a bare host name: drop port, path and spaces",
        ),
    ]))]
    pub hostname: Option<String>,
    /// The port, from 1 to 65535.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535), extend("default" = 443))]
    pub port: Option<i32>,
    /// What comes in place of `/v1` in the paths of the provider, without a leading slash, for
    /// example `api/v1` for OpenRouter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend(
        "default" = "v1",
        "x-kubernetes-validations" = [rule(
            "self.matches('^[-A-Za-z0-9._~/]*$')",
            "must be a path of letters, digits, `-`, `.`, `_`, `~` and `/`, for example api/v1",
        )],
    ))]
    pub schema_version: Option<String>,
    /// The name of a Secret in the same namespace whose key `apiKey` holds the provider's key. A
    /// change is in force within seconds. Required unless `credential.type` is `None` or
    /// `WorkloadIdentity`. It is sent to `hostname`: whoever may write this resource can have that
    /// key of any Secret of the namespace sent anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rule::object_name")]
    pub credential_secret_name: Option<String>,
    /// How the provider is spoken to: `https` or `http`. `https` if absent. With `http` say the
    /// port too, and use it inside of a trusted network only: prompts and the provider's key
    /// cross it in clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Scheme")]
    pub scheme: Option<Scheme>,
    /// The name of a Secret in the same namespace whose key `ca.crt` holds the certificates of
    /// the authorities that the provider's certificate may come from, in PEM. The system's if
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rule::object_name")]
    pub ca_secret_name: Option<String>,
    /// More headers that every request gets, for example `OpenAI-Organization`. They are not
    /// secret: a credential belongs into `credentialSecretName`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = llm_contract::Provider::HEADERS_MAX),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub headers: Vec<Header>,
    /// How long the gateway waits for the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<ProviderTimeouts>,
    /// How our account is proven to the provider. An API key in the header `Authorization` if
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// Which protocol the provider speaks. OpenAI's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
}

fn provider_rules() -> [serde_json::Value; 4] {
    [
        rule(
            "has(self.hostname) || \
             has(self.backend) && has(self.backend.type) && self.backend.type == 'Bedrock'",
            "`hostname` is missing: say where the provider is, for example openrouter.ai",
        ),
        rule(
            "has(self.credentialSecretName) || has(self.credential) && has(self.credential.type) && \
             self.credential.type in ['None', 'WorkloadIdentity']",
            "`credentialSecretName` is missing: name the Secret whose key apiKey holds the \
             provider's key, or say `credential.type: None`",
        ),
        rule(
            "!has(self.scheme) || self.scheme != 'http' || self.port != 443",
            "`scheme: http` needs a `port` of its own: 443 is the port of https",
        ),
        rule(
            "!has(self.caSecretName) || !has(self.scheme) || self.scheme != 'http'",
            "`caSecretName` has no use with `scheme: http`",
        ),
    ]
}

/// How a provider is spoken to.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// With TLS.
    #[default]
    Https,
    /// In clear.
    Http,
}

/// A header that every request gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// The header's name, for example `OpenAI-Organization`. Those that the gateway sets itself,
    /// such as `Authorization` and `Host`, are refused.
    #[schemars(length(max = 128), extend("x-kubernetes-validations" = [
        rule(
            "self.matches('^[-!#$%&+.^_`|~A-Za-z0-9]+$')",
            "must be the name of a header, for example OpenAI-Organization",
        ),
        rule(&format!("!(self.lowerAscii() in {RESERVED})"), "the gateway sets this header itself"),
    ]))]
    pub name: String,
    /// The header's value: visible ASCII characters and spaces.
    #[schemars(length(max = llm_contract::Provider::HEADER_BYTES_MAX), extend("x-kubernetes-validations" = [rule(
        "self.matches('^[ -~]*$')",
        "must be visible ASCII characters and spaces",
    )]))]
    pub value: String,
}

/// How long the gateway waits for a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderTimeouts {
    /// For a connection, TLS included. `5s` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rule::duration("1ms", "24h")]))]
    pub connect: Option<DurationText>,
    /// For a whole request, its answer included. `600s` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rule::duration("1ms", "24h")]))]
    pub request: Option<DurationText>,
    /// For the next byte of an answer. `120s` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rule::duration("1ms", "24h")]))]
    pub idle: Option<DurationText>,
}

/// How our account is proven to a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// What is shown: `APIKey` (the key in the Secret), `None` (nothing, for a server that asks
    /// for nothing), or `WorkloadIdentity` (of the cloud; this gateway does not support it yet,
    /// and the condition `Accepted` says so). `APIKey` if absent.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CredentialType")]
    pub kind: Option<CredentialType>,
    /// The header that the key goes into: `authorization` (`Bearer` and the key, as OpenAI wants
    /// it), `x-api-key` (Anthropic), or `api-key` (Azure). `authorization` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CredentialHeader")]
    pub header: Option<CredentialHeader>,
}

/// What is shown to a provider.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum CredentialType {
    /// The key in the Secret.
    #[default]
    #[serde(rename = "APIKey")]
    ApiKey,
    /// The identity that the cloud gives the pod.
    WorkloadIdentity,
    /// Nothing.
    None,
}

/// The header that a key goes into.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialHeader {
    /// `Authorization: Bearer ..`.
    #[default]
    Authorization,
    /// `x-api-key: ..`.
    XApiKey,
    /// `api-key: ..`.
    ApiKey,
}

/// Which protocol a provider speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// The protocol: `OpenAI` (Anthropic's is understood too), or `Bedrock` (which this gateway
    /// does not support yet; the condition `Accepted` says so). `OpenAI` if absent.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BackendType")]
    pub kind: Option<BackendType>,
    /// More for `Bedrock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bedrock: Option<Bedrock>,
}

/// Which protocol a provider speaks.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum BackendType {
    /// OpenAI's.
    #[default]
    #[serde(rename = "OpenAI")]
    OpenAi,
    /// That of AWS Bedrock.
    Bedrock,
}

/// More for `Bedrock`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bedrock {
    /// The region, for example `eu-central-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub region: Option<String>,
}
