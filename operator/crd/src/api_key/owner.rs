//! The owner of an API key.

use crate::rule::rule;
use serde::{Deserialize, Serialize};

/// Owner of an API key: either `issuer`, `subject` and `username`, or `team`, or
/// `serviceAccount`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule(
        "[has(self.issuer), has(self.team), has(self.serviceAccount)].filter(one, one).size() == 1",
        "specify exactly one owner: `issuer`, `subject` and `username`, or `team`, or \
         `serviceAccount`",
    ),
    rule(
        "has(self.issuer) == has(self.subject) && has(self.issuer) == has(self.username)",
        "a person requires all of `issuer`, `subject` and `username`",
    ),
]))]
pub struct ApiKeyOwner {
    /// For a person: the issuer of their tokens, for example
    /// `https://sso.example.org/realms/main`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub issuer: Option<String>,
    /// For a person: the `sub` claim of their tokens, which does not change when they are renamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub subject: Option<String>,
    /// For a person: their name in logs and usage reports, for example `ada`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub username: Option<String>,
    /// For a team: its group at the identity provider, for example `ml-team`. The key grants
    /// access to the models that members of this group may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub team: Option<String>,
    /// For a service: its service account as `<namespace>/<name>`, for example `apps/chat`. Its
    /// groups are those that Kubernetes assigns to service accounts: `system:serviceaccounts` and
    /// `system:serviceaccounts:<namespace>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317), extend("x-kubernetes-validations" = [rule(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')",
        "must be <namespace>/<name> of a service account",
    )]))]
    pub service_account: Option<String>,
}

/// The owner that an [`ApiKeyOwner`] specifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerIdentity<'a> {
    /// A person with an account at an identity provider.
    Person {
        /// The issuer of their tokens.
        issuer: &'a str,
        /// The `sub` claim of their tokens.
        subject: &'a str,
        /// Their name in logs and usage reports.
        username: &'a str,
    },
    /// A group of the identity provider.
    Team(&'a str),
    /// A service account of the cluster.
    ServiceAccount {
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
}

impl ApiKeyOwner {
    /// The owner; `None` unless exactly one is specified.
    pub fn who(&self) -> Option<OwnerIdentity<'_>> {
        let Self { issuer, subject, username, team, service_account } = self;
        match (issuer, subject, username, team, service_account) {
            (Some(issuer), Some(subject), Some(username), None, None) => {
                Some(OwnerIdentity::Person { issuer, subject, username })
            }
            (None, None, None, Some(team), None) => Some(OwnerIdentity::Team(team)),
            (None, None, None, None, Some(account)) => {
                let (namespace, name) = account.split_once('/')?;
                Some(OwnerIdentity::ServiceAccount { namespace, name })
            }
            _ => None,
        }
    }
}

impl OwnerIdentity<'_> {
    /// The name in logs and usage reports.
    pub fn name(&self) -> String {
        match self {
            Self::Person { username, .. } => (*username).into(),
            Self::Team(team) => (*team).into(),
            Self::ServiceAccount { namespace, name } => {
                format!("system:serviceaccount:{namespace}:{name}")
            }
        }
    }
}
