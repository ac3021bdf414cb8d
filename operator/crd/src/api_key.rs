//! `ApiKey`: what is stored of a key.

mod effective;

pub use effective::Owner;

use crate::{
    CallerLimits,
    rule::{self, rule},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What is stored of a key: never the key itself.
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
    doc = "A key of the gateway: who holds it, what it hashes to, and which models it may ask for. \
           Its name is the public part of the key, 12 characters of a-z and 2-7: of the key \
           sk-nb-abcdefgh2345-... it is abcdefgh2345. The key itself is nowhere in it, so it may be \
           committed to a repository.",
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
        "description": "When the key was last used, to within an hour or so"}"#,
    printcolumn = r#"{"name": "Models", "type": "string", "priority": 1,
        "jsonPath": ".spec.models",
        "description": "Which models it may ask for"}"#
)]
#[schemars(extend("x-kubernetes-validations" = [rule(
    "!has(self.notBefore) || !has(self.expiresAt) || self.notBefore < self.expiresAt",
    "`expiresAt` must be later than `notBefore`",
)]))]
pub struct ApiKeySpec {
    /// What its owner calls the key, for example `laptop`: 1 to 200 characters.
    #[schemars(length(min = 1, max = 200), extend("x-kubernetes-validations" = [rule(
        r"self.matches('^[^\\x00-\\x1f\\x7f]*$')",
        "must not hold control characters",
    )]))]
    pub display_name: String,
    /// What upstreams see of the caller, as the header `X-Client-ID`: 1 to 128 visible ASCII
    /// characters, for example `ada-abcdefgh2345`. No other key should have the same.
    #[schemars(length(max = 128), extend("x-kubernetes-validations" = [rule(
        "self.matches('^[!-~]{1,128}$')",
        "must be 1 to 128 visible ASCII characters",
    )]))]
    pub client_id: String,
    /// Who is behind the key: a person, a team, or a service account. Exactly one of them.
    pub owner: ApiKeyOwner,
    /// What the key hashes to: argon2id as a PHC string, for example
    /// `$argon2id$v=19$m=512,t=1,p=1$<salt>$<hash>`. It is safe to commit.
    #[schemars(length(max = 256), extend("x-kubernetes-validations" = [rule(
        "self.matches('^[$]argon2id[$]v=19[$]m=[0-9]{1,7},t=[0-9]{1,2},p=[0-9][$]\
         [A-Za-z0-9+/]{11,86}[$][A-Za-z0-9+/]{43}$')",
        "must be argon2id as a PHC string: $argon2id$v=19$m=..,t=..,p=..$<salt>$<hash>",
    )]))]
    pub hash: String,
    /// Which models the key may ask for, within what its owner may: `<namespace>/<name>` of an
    /// LLMModel or PassthroughModel, `<namespace>/*` for all of a namespace, or `*` for all. None
    /// if absent or empty. Whoever writes a key says who its owner is, so this counts in full only
    /// in the operator's namespace: in another one only models of that same namespace do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "models")]
    pub models: Vec<String>,
    /// The key is refused from this time on, for example `2030-01-31T00:00:00Z`. Never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rule::moment")]
    pub expires_at: Option<Time>,
    /// The key is refused before this time, for example `2030-01-01T00:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rule::moment")]
    pub not_before: Option<Time>,
    /// Whether the key is refused until this is taken back. False if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<bool>,
    /// How much may be used with the key, of all models together. Not limited if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<CallerLimits>,
    /// The key in whose place this one was made. Both are valid until `overlapUntil`. This ends the
    /// older one only as long as this one is there: set `expiresAt` of the older one too, as
    /// `llm-keys rotate` does, so that it is not valid again when this one is deleted.
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

/// Who is behind a key: either `issuer`, `subject` and `username`, or `team`, or
/// `serviceAccount`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule(
        "[has(self.issuer), has(self.team), has(self.serviceAccount)].filter(one, one).size() == 1",
        "say exactly one owner: `issuer`, `subject` and `username`, or `team`, or `serviceAccount`",
    ),
    rule(
        "has(self.issuer) == has(self.subject) && has(self.issuer) == has(self.username)",
        "a person needs all of `issuer`, `subject` and `username`",
    ),
]))]
pub struct ApiKeyOwner {
    /// Of a person: the issuer of their tokens, for example
    /// `https://sso.example.org/realms/main`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub issuer: Option<String>,
    /// Of a person: the claim `sub` of their tokens, which stays when they are renamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub subject: Option<String>,
    /// Of a person: their name for logs and usage reports, for example `ada`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub username: Option<String>,
    /// Of a team: the group it is at the identity provider, for example `ml-team`. The key may
    /// use what members of that group may.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub team: Option<String>,
    /// Of a service: its service account as `<namespace>/<name>`, for example `apps/chat`. The
    /// groups are those that Kubernetes gives a service account: `system:serviceaccounts` and
    /// `system:serviceaccounts:<namespace>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317), extend("x-kubernetes-validations" = [rule(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')",
        "must be <namespace>/<name> of a service account",
    )]))]
    pub service_account: Option<String>,
}

/// The key in whose place another was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replaces {
    /// The name of the older ApiKey, in the same namespace.
    #[schemars(schema_with = "key_id")]
    pub id: String,
    /// The older key is refused from this time on, or from its own `expiresAt` on if that comes
    /// first. For example `2030-01-08T00:00:00Z`.
    #[schemars(schema_with = "rule::moment")]
    pub overlap_until: Time,
}

/// What the operator and the key manager say of a key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyStatus {
    /// What is fulfilled and what is not, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The generation of the resource that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The groups that the owner was in at `ownerCheckedAt`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owner_groups: Vec<String>,
    /// When the owner was last found at the identity provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rule::moment")]
    pub owner_checked_at: Option<Time>,
    /// When the key was last used, to within an hour or so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rule::moment")]
    pub last_used_at: Option<Time>,
}

#[cfg(test)]
mod tests;
