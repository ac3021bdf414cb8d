//! From an `ApiKey` to the record that proxies know.

use jiff::Timestamp;
use llm_contract::{
    Chain, Group, KeyHash, KeyId, KeyRecord, ModelPattern, ResourceName, ResourcePattern, document,
};
use llm_crd::{ApiKey, ApiKeySpec, Owner};
use std::sync::Arc;

/// Of several keys of one id, the least counts: the oldest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seniority {
    created: Option<Timestamp>,
    namespace: Arc<str>,
}

impl Seniority {
    pub(super) fn of(name: &ResourceName, key: &ApiKey) -> Self {
        let created = key.metadata.creation_timestamp.as_ref().map(|it| it.0);
        Self { created, namespace: name.namespace().into() }
    }

    pub(super) fn is_in(&self, namespace: &str) -> bool {
        *self.namespace == *namespace
    }
}

/// The record of a key, given the keys that replace it.
///
/// # Errors
/// What is wrong with it, for people; never the hash.
pub fn compile<'a>(
    key: &ApiKey,
    replacements: impl IntoIterator<Item = &'a ApiKeySpec>,
) -> Result<document::Key, String> {
    let (spec, id) = (&key.spec, key.metadata.name.as_deref().unwrap_or_default());
    let owner = spec.owner.who().ok_or("spec.owner: say one of a person, a team, a service")?;
    let groups = match &owner {
        Owner::Person { .. } => {
            let groups = key.status.iter().flat_map(|status| &status.owner_groups);
            // What no rule can name admits to nothing.
            groups.filter_map(|name| Group::parse(name).ok()).collect()
        }
        Owner::Team(team) => Group::parse(team).into_iter().collect(),
        Owner::ServiceAccount { namespace, .. } => {
            let own = format!("system:serviceaccounts:{namespace}");
            ["system:serviceaccounts", &own].map(Group::parse).into_iter().flatten().collect()
        }
    };
    let (models, resources) = scope(&spec.models)?;
    let document = document::Key {
        id: KeyId::parse(id).map_err(|wrong| format!("metadata.name: {wrong}"))?,
        client_id: spec.client_id.clone(),
        owner: document::Owner { name: owner.name(), groups },
        hash: KeyHash::parse(&spec.hash).map_err(|wrong| format!("spec.hash: {wrong}"))?,
        models,
        resources,
        not_before: spec.not_before.as_ref().map(|time| time.0),
        expires_at: spec.expires_at(id, replacements),
        suspended: spec.is_suspended(),
        limits: document::Limits {
            concurrency: spec.limits.and_then(|limits| limits.concurrency).filter(|it| 0 < *it),
        },
    };
    match KeyRecord::try_from(document.clone()) {
        Ok(_) => Ok(document),
        Err(wrong) => Err(format!("spec: {}", Chain(&wrong))),
    }
}

type Scope = (Vec<ModelPattern>, Vec<ResourcePattern>);

fn scope(texts: &[String]) -> Result<Scope, String> {
    let (mut models, mut resources) = (Vec::new(), Vec::new());
    for text in texts {
        if text == "*" {
            models.push(ModelPattern::Prefix("".into()));
        } else {
            let wrong = |wrong| format!("spec.models: {text:?}: {wrong}");
            resources.push(ResourcePattern::parse(text).map_err(wrong)?);
        }
    }
    Ok((models, resources))
}
