//! The resource itself: `ApiKeySpec`.

use super::{ApiKeyOwner, ApiKeyStatus};
use crate::{
    CallerLimits,
    rule::{self, rule},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The stored part of an API key; never the key itself.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "llm.nebari.dev",
    version = "v1alpha1",
    kind = "ApiKey",
    root = "ApiKeyResource",
    plural = "apikeys",
    singular = "apikey",
    category = "llm",
    namespaced,
    status = "ApiKeyStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "An API key for the gateway: its owner, its hash, and the models it grants access to. The \
           resource is named after the public part of the key, 12 characters of a-z and 2-7: for \
           the key sk-nb-abcdefgh2345-... that is abcdefgh2345. It does not contain the key itself \
           and can safely be committed to a repository.",
    printcolumn = r#"{"name": "Key", "type": "string", "jsonPath": ".spec.displayName"}"#,
    printcolumn = r#"{"name": "Client", "type": "string", "jsonPath": ".spec.clientId"}"#,
    printcolumn = r#"{"name": "Active", "type": "string",
        "jsonPath": ".status.conditions[?(@.type==\"Active\")].status"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string",
        "jsonPath": ".status.conditions[?(@.type==\"Active\")].reason"}"#,
    printcolumn = r#"{"name": "Expires", "type": "string", "jsonPath": ".spec.expiresAt"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "LastUsed", "type": "date", "priority": 1,
        "jsonPath": ".status.lastUsedAt",
        "description": "When the key was last used, accurate to about an hour"}"#,
    printcolumn = r#"{"name": "Models", "type": "string", "priority": 1,
        "jsonPath": ".spec.models",
        "description": "The models the key grants access to"}"#
)]
#[schemars(extend("x-kubernetes-validations" = [rule(
    "!has(self.notBefore) || !has(self.expiresAt) || self.notBefore < self.expiresAt",
    "`expiresAt` must be later than `notBefore`",
)]))]
pub struct ApiKeySpec {
    /// Human-readable name of the key, 1 to 200 characters, for example `laptop`.
    #[schemars(length(min = 1, max = 200), extend("x-kubernetes-validations" = [rule(
        r"self.matches('^[^\\x00-\\x1f\\x7f]*$')",
        "must not contain control characters",
    )]))]
    pub display_name: String,
    /// Identifier of the caller that upstreams receive in the `X-Client-ID` header: 1 to 128
    /// visible ASCII characters, for example `ada-abcdefgh2345`. Should be unique to this key.
    #[schemars(length(max = 128), extend("x-kubernetes-validations" = [rule(
        "self.matches('^[!-~]{1,128}$')",
        "must be 1 to 128 visible ASCII characters",
    )]))]
    pub client_id: String,
    /// Owner of the key: exactly one of a person, a team, or a service account.
    pub owner: ApiKeyOwner,
    /// Hash of the key as an argon2id PHC string, for example
    /// `$argon2id$v=19$m=512,t=1,p=1$<salt>$<hash>`. It is safe to commit.
    #[schemars(length(max = 256), extend("x-kubernetes-validations" = [rule(
        "self.matches('^[$]argon2id[$]v=19[$]m=[0-9]{1,7},t=[0-9]{1,2},p=[0-9][$]\
         [A-Za-z0-9+/]{11,86}[$][A-Za-z0-9+/]{43}$')",
        "must be an argon2id PHC string: $argon2id$v=19$m=..,t=..,p=..$<salt>$<hash>",
    )]))]
    pub hash: String,
    /// Models that the key grants access to, as far as its owner has access to them:
    /// `<namespace>/<name>` of an LLMModel or PassthroughModel, `<namespace>/*` for all models of
    /// a namespace, or `*` for all models. Empty means none. Because the author of a key chooses
    /// its owner, keys outside the operator's namespace grant access only to models in their own
    /// namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "models")]
    pub models: Vec<String>,
    /// When the key expires, for example `2030-01-31T00:00:00Z`. Never if not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rule::timestamp")]
    pub expires_at: Option<Time>,
    /// When the key becomes valid, for example `2030-01-01T00:00:00Z`. Immediately if not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rule::timestamp")]
    pub not_before: Option<Time>,
    /// Whether the key is temporarily disabled. Defaults to false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<bool>,
    /// Limits on the use of the key, across all models. Unlimited if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<CallerLimits>,
    /// The older key that this key replaces. Both are valid until `overlapUntil`. The older key
    /// expires only while this resource exists: also set the older key's `expiresAt`, as
    /// `llm-keys rotate` does, or it becomes valid again when this key is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Replaces>,
}

fn models(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 1000,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "maxLength": 317,
            "x-kubernetes-validations": [rule(
                "self.matches('^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?/\
                 ([*]|[a-z0-9]([-.a-z0-9]*[a-z0-9])?))$')",
                "must be <namespace>/<name> of a model, <namespace>/*, or *",
            )],
        },
    })
}

fn key_id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 12,
        "x-kubernetes-validations": [rule(
            "self.matches('^[a-z2-7]{12}$')",
            "must be the public part of a key: 12 characters of a-z and 2-7",
        )],
    })
}

/// The older key that a key replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replaces {
    /// Name of the older ApiKey in the same namespace.
    #[schemars(schema_with = "key_id")]
    pub id: String,
    /// When the older key expires, unless its own `expiresAt` is earlier, for example
    /// `2030-01-08T00:00:00Z`.
    #[schemars(schema_with = "rule::timestamp")]
    pub overlap_until: Time,
}

impl ApiKeySpec {
    /// Whether the key is temporarily disabled.
    pub fn is_suspended(&self) -> bool {
        self.suspended == Some(true)
    }

    /// When the key expires: at its own `expiresAt`, or earlier at the end of its overlap with one
    /// of the `others` in its namespace that replaces it.
    pub fn expires_at<'a>(
        &self,
        id: &str,
        others: impl IntoIterator<Item = &'a Self>,
    ) -> Option<Timestamp> {
        let replacements = others.into_iter().filter_map(|other| other.replaces.as_ref());
        let overlaps = replacements.filter(|it| it.id == id).map(|it| it.overlap_until.0);
        overlaps.chain(self.expires_at.as_ref().map(|time| time.0)).min()
    }
}
