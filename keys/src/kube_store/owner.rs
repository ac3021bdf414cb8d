//! Owners of keys in a cluster.

use llm_contract::{Group, ResourceName};
use llm_crd::{ApiKeyOwner, OwnerIdentity};

/// The owner of a new key, with the groups known when it is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeOwner {
    pub(super) who: ApiKeyOwner,
    pub(super) groups: Vec<Group>,
}

impl KubeOwner {
    /// A person, by the issuer and the `sub` claim of their tokens, and by their name in logs.
    pub fn person(issuer: String, subject: String, username: String) -> Self {
        let who = ApiKeyOwner {
            issuer: Some(issuer),
            subject: Some(subject),
            username: Some(username),
            ..ApiKeyOwner::default()
        };
        Self { who, groups: Vec::new() }
    }

    /// A group of the identity provider, in which the key is too.
    pub fn team(team: Group) -> Self {
        let who = ApiKeyOwner { team: Some(team.as_str().into()), ..ApiKeyOwner::default() };
        Self { who, groups: vec![team] }
    }

    /// A service account, with the groups that Kubernetes gives it.
    pub fn service_account(account: &ResourceName) -> Self {
        let all = "system:serviceaccounts";
        let groups = [all.to_owned(), format!("{all}:{}", account.namespace())];
        let account = Some(account.as_str().into());
        let who = ApiKeyOwner { service_account: account, ..ApiKeyOwner::default() };
        Self { who, groups: groups.iter().filter_map(|name| Group::parse(name).ok()).collect() }
    }

    /// Adds groups, each once.
    #[must_use]
    pub fn also_in(mut self, groups: impl IntoIterator<Item = Group>) -> Self {
        for group in groups {
            if !self.groups.contains(&group) {
                self.groups.push(group);
            }
        }
        self
    }

    /// The name in logs and usage.
    pub fn name(&self) -> String {
        self.who.who().as_ref().map(OwnerIdentity::name).unwrap_or_default()
    }
}
