//! A provider and how to authenticate to it.

use crate::{
    DurationText,
    rule::{self, rule},
};
use serde::{Deserialize, Serialize};

/// Headers that the gateway sets itself, or that frame a message or identify the caller; a CEL
/// list.
pub(super) const RESERVED: &str = "['accept-encoding', 'api-key', 'authorization', 'connection', \
    'content-encoding', 'content-length', 'content-type', 'cookie', 'expect', 'host', \
    'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', \
    'trailer', 'transfer-encoding', 'upgrade', 'x-api-key', 'x-client-id', 'x-llm-client-id', \
    'x-request-id']";

/// A provider and how to authenticate to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = provider_rules()))]
pub struct Provider {
    /// Host name of the provider without scheme, port or path, for example `openrouter.ai`.
    /// Required unless `backend.type` is `Bedrock`. The proxies forward requests to any reachable
    /// host except loopback and link-local addresses; restrict this further with a NetworkPolicy
    /// for the proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 254), extend("x-kubernetes-validations" = [
        rule("!self.contains('://')", "must be a bare host name: remove the scheme"),
        rule(
            "self.contains('://') || self.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?[.]?$')",
            "must be a bare host name: remove port, path and spaces",
        ),
    ]))]
    pub hostname: Option<String>,
    /// Port of the provider, from 1 to 65535.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535), extend("default" = 443))]
    pub port: Option<i32>,
    /// Path prefix that replaces `/v1` in requests to the provider, without a leading slash, for
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
    /// Name of a Secret in the same namespace whose key `apiKey` holds the provider's API key.
    /// Changes take effect within seconds. Required unless `credential.type` is `None` or
    /// `WorkloadIdentity`. The API key is sent to `hostname`, so anyone who can edit this resource
    /// can send the `apiKey` of any Secret in the namespace to any host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rule::object_name")]
    pub credential_secret_name: Option<String>,
    /// URL scheme: `https` or `http`. Defaults to `https`. With `http`, the port must be set too.
    /// Use `http` only within a trusted network, because prompts and the API key are sent
    /// unencrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Scheme")]
    pub scheme: Option<Scheme>,
    /// Name of a Secret in the same namespace whose key `ca.crt` holds the PEM-encoded CA
    /// certificates trusted for the provider. Defaults to the system's CA certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rule::object_name")]
    pub ca_secret_name: Option<String>,
    /// Additional headers for every request, for example `OpenAI-Organization`. Not for secrets:
    /// use `credentialSecretName` for credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = llm_contract::Provider::HEADERS_MAX),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub headers: Vec<Header>,
    /// Timeouts for requests to the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<ProviderTimeouts>,
    /// How to authenticate to the provider. Defaults to an API key in the `Authorization` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// API protocol of the provider. Defaults to OpenAI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
}

fn provider_rules() -> [serde_json::Value; 4] {
    [
        rule(
            "has(self.hostname) || \
             has(self.backend) && has(self.backend.type) && self.backend.type == 'Bedrock'",
            "`hostname` is required, for example openrouter.ai",
        ),
        rule(
            "has(self.credentialSecretName) || has(self.credential) && has(self.credential.type) && \
             self.credential.type in ['None', 'WorkloadIdentity']",
            "`credentialSecretName` is required: name the Secret whose key apiKey holds the \
             provider's API key, or set `credential.type: None`",
        ),
        rule(
            "!has(self.scheme) || self.scheme != 'http' || self.port != 443",
            "`scheme: http` requires a `port` other than 443, the port of https",
        ),
        rule(
            "!has(self.caSecretName) || !has(self.scheme) || self.scheme != 'http'",
            "`caSecretName` is not allowed with `scheme: http`",
        ),
    ]
}

/// URL scheme of a provider.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// TLS.
    #[default]
    Https,
    /// Unencrypted.
    Http,
}

/// Additional header for every request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Name of the header, for example `OpenAI-Organization`. Headers that the gateway sets itself,
    /// such as `Authorization` and `Host`, are not allowed.
    #[schemars(length(max = 128), extend("x-kubernetes-validations" = [
        rule(
            "self.matches('^[-!#$%&+.^_`|~A-Za-z0-9]+$')",
            "must be a header name, for example OpenAI-Organization",
        ),
        rule(&format!("!(self.lowerAscii() in {RESERVED})"), "the gateway sets this header itself"),
    ]))]
    pub name: String,
    /// Value of the header: visible ASCII characters and spaces.
    #[schemars(length(max = llm_contract::Provider::HEADER_BYTES_MAX), extend("x-kubernetes-validations" = [rule(
        "self.matches('^[ -~]*$')",
        "must be visible ASCII characters and spaces",
    )]))]
    pub value: String,
}

/// Timeouts for requests to a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderTimeouts {
    /// Timeout for establishing a connection, including TLS. Defaults to `5s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rule::duration("1ms", "24h")]))]
    pub connect: Option<DurationText>,
    /// Timeout for a request including its response. Defaults to `600s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rule::duration("1ms", "24h")]))]
    pub request: Option<DurationText>,
    /// Timeout for the next byte of a response. Defaults to `120s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [rule::duration("1ms", "24h")]))]
    pub idle: Option<DurationText>,
}

/// How to authenticate to a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// Type of credential: `APIKey` (from the Secret), `None` (for a server without
    /// authentication), or `WorkloadIdentity` (of the cloud; not supported yet, which is reported
    /// in the `Accepted` condition). Defaults to `APIKey`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CredentialType")]
    pub kind: Option<CredentialType>,
    /// Header that carries the API key: `authorization` (as a bearer token, used by OpenAI),
    /// `x-api-key` (Anthropic), or `api-key` (Azure). Defaults to `authorization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CredentialHeader")]
    pub header: Option<CredentialHeader>,
}

/// Type of credential.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum CredentialType {
    /// The API key in the Secret.
    #[default]
    #[serde(rename = "APIKey")]
    ApiKey,
    /// The identity that the cloud assigns to the pod.
    WorkloadIdentity,
    /// No authentication.
    None,
}

/// Header that carries the API key.
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

/// API protocol of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// Protocol: `OpenAI` (which includes Anthropic's), or `Bedrock` (not supported yet, which is
    /// reported in the `Accepted` condition). Defaults to `OpenAI`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BackendType")]
    pub kind: Option<BackendType>,
    /// Settings for `Bedrock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bedrock: Option<Bedrock>,
}

/// API protocol of a provider.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum BackendType {
    /// OpenAI.
    #[default]
    #[serde(rename = "OpenAI")]
    OpenAi,
    /// AWS Bedrock.
    Bedrock,
}

/// Settings for `Bedrock`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bedrock {
    /// AWS region, for example `eu-central-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub region: Option<String>,
}
