//! Who is behind a key in a cluster.

use crate::KeyOwner;
use llm_contract::{Group, ResourceName};
use llm_crd::{ApiKeyOwner, OwnerIdentity};

/// Who is behind a new key, and the groups they are in as far as the one who makes it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeOwner {
    pub(super) who: ApiKeyOwner,
    pub(super) groups: Vec<Group>,
}

impl KubeOwner {
    /// A person with an account at an identity provider: who issues their tokens, the claim `sub`
    /// of these, and the name for logs.
    pub fn person(issuer: String, subject: String, username: String) -> Self {
        let who = ApiKeyOwner {
            issuer: Some(issuer),
            subject: Some(subject),
            username: Some(username),
            ..ApiKeyOwner::default()
        };
        Self { who, groups: Vec::new() }
    }

    /// A group of the identity provider; the key is in that group.
    pub fn team(team: Group) -> Self {
        let who = ApiKeyOwner { team: Some(team.as_str().into()), ..ApiKeyOwner::default() };
        Self { who, groups: vec![team] }
    }

    /// A service account of the cluster; the key is in the groups that Kubernetes gives it.
    pub fn service_account(account: &ResourceName) -> Self {
        let all = "system:serviceaccounts";
        let groups = [all.to_owned(), format!("{all}:{}", account.namespace())];
        let account = Some(account.as_str().into());
        let who = ApiKeyOwner { service_account: account, ..ApiKeyOwner::default() };
        Self { who, groups: groups.iter().filter_map(|name| Group::parse(name).ok()).collect() }
    }

    /// The same owner, in these groups too.
    #[must_use]
    pub fn also_in(mut self, groups: impl IntoIterator<Item = Group>) -> Self {
        for group in groups {
            if !self.groups.contains(&group) {
                self.groups.push(group);
            }
        }
        self
    }
}

impl KeyOwner for KubeOwner {
    fn name(&self) -> String {
        self.who.who().as_ref().map(OwnerIdentity::name).unwrap_or_default()
    }

    fn groups(&self) -> &[Group] {
        &self.groups
    }
}
