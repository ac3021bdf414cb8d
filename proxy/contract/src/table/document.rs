//! What a table looks like on the wire: JSON, camelCase, unknown fields refused.
//!
//! These types only carry text from place to place; nothing decides by them. [`crate::Table`]
//! is what they become.

use crate::{
    CredentialHeader, Group, KeyHash, KeyId, ModelId, ModelPattern, ResourcePattern, Secret,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

/// The whole document.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Table {
    /// Of the schema: [`crate::Table::VERSION`].
    pub version: u32,
    /// Counts up.
    #[serde(default)]
    pub revision: u64,
    /// What routes may refer to by name.
    #[serde(default)]
    pub providers: Vec<Provider>,
    /// Models and where they go.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Keys in force.
    #[serde(default)]
    pub keys: Vec<Key>,
    /// Issuers of tokens for the internal entry.
    #[serde(default)]
    pub issuers: Vec<Issuer>,
    /// What applies to every route.
    #[serde(default)]
    pub settings: Settings,
}

/// See [`crate::Provider`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Provider {
    /// 1 to 253 letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// `https://host[:port][/prefix]`.
    pub url: String,
    /// What we present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// What it wants to see with every request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// PEM certificates to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// Waits.
    #[serde(default = "Timeouts::provider")]
    pub timeouts: Timeouts,
}

/// See [`crate::Credential`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Credential {
    /// Where it goes.
    #[serde(default)]
    pub header: CredentialHeader,
    /// In clear.
    #[serde(serialize_with = "reveal")]
    pub secret: Secret,
}

/// See [`crate::Provider::headers`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Header {
    /// Of any case.
    pub name: String,
    /// In clear: it may be a credential.
    #[serde(serialize_with = "reveal")]
    pub value: Secret,
}

/// See [`crate::Route`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Route {
    /// The id; absent for a catch-all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelId>,
    /// Other ids that reach it.
    #[serde(default)]
    pub aliases: Vec<ModelId>,
    /// Who may use it.
    pub access: Access,
    /// Where it may be asked for; everywhere if absent.
    #[serde(default, skip_serializing_if = "crate::Entries::is_all")]
    pub entries: crate::Entries,
    /// Where it goes.
    pub upstream: Upstream,
    /// How much of it.
    #[serde(default)]
    pub limits: Limits,
}

/// The routes of one custom resource, and the provider they lead to: what is pushed to proxies
/// as one. A change of either brings both.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Routes {
    /// The only one that the routes may refer to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// At least one.
    pub routes: Vec<Route>,
}

/// See [`crate::Access`].
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Access {
    /// Members of any of these.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Everyone with a valid credential.
    #[serde(default)]
    pub public: bool,
}

/// See [`crate::Upstream`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Upstream {
    /// Model servers of our own.
    Served(Served),
    /// A declared provider.
    Provider {
        /// Its name.
        name: String,
        /// The model's id there, if it differs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<ModelId>,
    },
}

/// See [`crate::Served`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Served {
    /// `http://host:port`, ready ones only.
    pub endpoints: Vec<String>,
    /// The id the servers know, if it is not what clients write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelId>,
    /// What the servers want to see.
    #[serde(serialize_with = "reveal_any", skip_serializing_if = "Option::is_none")]
    pub api_key: Option<Secret>,
    /// Waits.
    #[serde(default = "Timeouts::served")]
    pub timeouts: Timeouts,
}

/// See [`crate::Limits`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Limits {
    /// Requests at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

/// See [`crate::Timeouts`]; in milliseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Timeouts {
    /// For a connection.
    pub connect_ms: u64,
    /// For the whole exchange.
    pub request_ms: u64,
    /// For the next byte.
    pub idle_ms: u64,
}

/// See [`crate::KeyRecord`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Key {
    /// The public part.
    pub id: KeyId,
    /// What upstreams see.
    pub client_id: String,
    /// Who is behind it.
    pub owner: Owner,
    /// PHC string.
    pub hash: KeyHash,
    /// Ids, prefixes, or `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelPattern>,
    /// Custom resources whose models it may ask for: `namespace/name` or `namespace/*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourcePattern>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Refused until taken back.
    #[serde(default)]
    pub suspended: bool,
    /// How much it may take.
    #[serde(default)]
    pub limits: Limits,
}

/// See [`crate::Owner`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Owner {
    /// In logs and usage.
    pub name: String,
    /// Now.
    #[serde(default)]
    pub groups: Vec<Group>,
}

/// See [`crate::Issuer`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Issuer {
    /// The `iss` claim.
    pub issuer: String,
    /// At least one.
    pub audiences: Vec<String>,
    /// Default `groups`.
    #[serde(default = "Issuer::groups_claim")]
    pub groups_claim: String,
    /// Default `preferred_username`.
    #[serde(default = "Issuer::username_claim")]
    pub username_claim: String,
    /// PEM certificates to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

/// See [`crate::Settings`].
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// Origins, or `*`; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors_origins: Option<Vec<String>>,
}

impl Timeouts {
    /// Defaults for model servers of our own.
    pub fn served() -> Self {
        crate::Timeouts::SERVED.into()
    }

    /// Defaults for external services.
    pub fn provider() -> Self {
        crate::Timeouts::PROVIDER.into()
    }
}

impl Issuer {
    /// The default claim.
    pub fn groups_claim() -> String {
        "groups".into()
    }

    /// The default claim.
    pub fn username_claim() -> String {
        "preferred_username".into()
    }
}

/// For the one place where a document leaves: the stream to a proxy that has proved itself, and
/// its copy on the proxy's disk.
fn reveal<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.reveal())
}

fn reveal_any<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::reveal).serialize(serializer)
}
