//! The JSON schema of tables: camelCase, unknown fields rejected.
//!
//! Values that validation converts to other types, such as a URL, are plain text here: so an error
//! names the route or provider, which serde's cannot. Types that only need a check, such as
//! [`KeyRecord`], are the same before and after it.

pub use crate::{Issuer, KeyRecord, Owner, RequestLimits, Timeouts};

use crate::{CredentialHeader, Group, ModelId, Secret};
use serde::{Deserialize, Serialize, Serializer};

/// The whole document.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Table {
    /// The schema: [`crate::Table::VERSION`].
    pub version: u32,
    /// Increases with every version.
    #[serde(default)]
    pub revision: u64,
    /// Referred to by routes.
    #[serde(default)]
    pub providers: Vec<Provider>,
    /// See [`crate::Route`].
    #[serde(default)]
    pub routes: Vec<Route>,
    /// See [`crate::KeyRecord`].
    #[serde(default)]
    pub keys: Vec<KeyRecord>,
    /// See [`crate::Issuer`].
    #[serde(default)]
    pub issuers: Vec<Issuer>,
    /// See [`crate::Settings`].
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
    /// See [`Credential`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// Added to every request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// Root certificates in PEM; the system's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// See [`Timeouts`].
    #[serde(default = "provider_timeouts")]
    pub timeouts: Timeouts,
}

/// See [`crate::Credential`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Credential {
    /// The name of the header.
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
    /// In any case.
    pub name: String,
    /// In clear; perhaps a credential.
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
    /// Alternative ids.
    #[serde(default)]
    pub aliases: Vec<ModelId>,
    /// Exactly one of its fields.
    pub access: Access,
    /// All if absent.
    #[serde(default, skip_serializing_if = "crate::Entries::is_all")]
    pub entries: crate::Entries,
    /// See [`Upstream`].
    pub upstream: Upstream,
    /// Unlimited by default.
    #[serde(default)]
    pub limits: RequestLimits,
}

/// The routes of one custom resource, and their provider.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Routes {
    /// The only one its routes may refer to.
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
    /// Model servers in the cluster.
    Served(Served),
    /// A declared provider.
    Provider {
        /// Its name.
        name: String,
        /// Its id of the model, if it differs.
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
    /// The servers' id of the model, if it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelId>,
    /// A bearer token, in clear.
    #[serde(serialize_with = "reveal_any", skip_serializing_if = "Option::is_none")]
    pub api_key: Option<Secret>,
    /// See [`Timeouts`].
    #[serde(default = "served_timeouts")]
    pub timeouts: Timeouts,
}

/// See [`crate::Settings`].
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// Origins, or `*`; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors_origins: Option<Vec<String>>,
}

fn served_timeouts() -> Timeouts {
    Timeouts::SERVED
}

fn provider_timeouts() -> Timeouts {
    Timeouts::PROVIDER
}

/// Documents go to authenticated proxies and their cache on disk only.
fn reveal<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.reveal())
}

fn reveal_any<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::reveal).serialize(serializer)
}
