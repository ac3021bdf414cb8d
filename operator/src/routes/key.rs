//! From an `ApiKey` to the record that proxies know.

use jiff::Timestamp;
use llm_contract::{
    Chain, Group, KeyHash, KeyId, KeyRecord, ModelPattern, ResourceName, ResourcePattern, document,
};
use llm_crd::{ApiKeyResource, ApiKeySpec, Owner};

/// Of several keys of one id, the least counts: one of the operator's own namespace, or the oldest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seniority {
    is_from_elsewhere: bool,
    created: Option<Timestamp>,
    name: ResourceName,
}

impl Seniority {
    pub(super) fn of(name: &ResourceName, key: &ApiKeyResource, home: &str) -> Self {
        let created = key.metadata.creation_timestamp.as_ref().map(|it| it.0);
        let is_from_elsewhere = name.namespace() != home;
        Self { is_from_elsewhere, created, name: name.clone() }
    }

    pub(super) fn namespace(&self) -> &str {
        self.name.namespace()
    }
}

/// Whether a key in this namespace may ask for what a scope names. Who may write a key says who is
/// behind it and thus in which groups; so in a namespace other than the operator's own that goes no
/// further than to the models beside it, which the same people may write too.
pub fn may_ask(scope: &str, namespace: &str, home: &str) -> bool {
    namespace == home || scope.split_once('/').is_some_and(|(its, _)| its == namespace)
}

/// The record of a key, given the operator's own namespace and the keys that replace it.
///
/// # Errors
/// What is wrong with it, for people; never the hash.
pub(super) fn compile<'a>(
    key: &ApiKeyResource,
    home: &str,
    replacements: impl IntoIterator<Item = &'a ApiKeySpec>,
) -> Result<KeyRecord, String> {
    let (spec, id) = (&key.spec, key.metadata.name.as_deref().unwrap_or_default());
    let owner = spec.owner.who().ok_or("spec.owner: say one of a person, a team, a service")?;
    let namespace = key.metadata.namespace.as_deref().unwrap_or_default();
    let models = spec.models.iter().filter(|scope| may_ask(scope, namespace, home));
    let (models, resources) = scope(models)?;
    let found = key.status.as_ref().map(|status| status.owner_groups.as_slice());
    let groups = groups(&owner, found.unwrap_or_default());
    let record = KeyRecord {
        id: KeyId::parse(id).map_err(|wrong| format!("metadata.name: {wrong}"))?,
        client_id: spec.client_id.clone(),
        owner: document::Owner { name: owner.name(), groups },
        hash: KeyHash::parse(&spec.hash).map_err(|wrong| format!("spec.hash: {wrong}"))?,
        models,
        resources,
        not_before: spec.not_before.as_ref().map(|time| time.0),
        expires_at: spec.expires_at(id, replacements),
        suspended: spec.is_suspended(),
        limits: document::RequestLimits {
            concurrency: spec.limits.and_then(|limits| limits.concurrency).filter(|it| 0 < *it),
        },
    };
    record.check().map_err(|invalid| format!("spec: {}", Chain(&invalid)))
}

/// Those that an owner is in by being who it is, and those it was found in.
fn groups(owner: &Owner<'_>, found: &[String]) -> Vec<Group> {
    let own = match owner {
        Owner::Person { .. } => Vec::new(),
        Owner::Team(team) => vec![(*team).to_owned()],
        Owner::ServiceAccount { namespace, .. } => {
            let all = "system:serviceaccounts";
            vec![all.to_owned(), format!("{all}:{namespace}")]
        }
    };
    let mut groups = Vec::new();
    for name in own.iter().chain(found) {
        // What no rule can name admits to nothing.
        if let Ok(group) = Group::parse(name)
            && !groups.contains(&group)
        {
            groups.push(group);
        }
    }
    groups
}

type Scope = (Vec<ModelPattern>, Vec<ResourcePattern>);

fn scope<'a>(texts: impl Iterator<Item = &'a String>) -> Result<Scope, String> {
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
