//! Compiles an `ApiKey` into the record that proxies verify keys with.

use jiff::Timestamp;
use llm_contract::{
    Chain, Group, KeyHash, KeyId, KeyRecord, ModelPattern, ResourceName, ResourcePattern, document,
};
use llm_crd::{ApiKeyResource, ApiKeySpec, OwnerIdentity};

/// Of several keys of one id the least takes effect: from the operator's namespace, else the oldest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPrecedence {
    is_outside_operator_namespace: bool,
    created: Option<Timestamp>,
    name: ResourceName,
}

impl KeyPrecedence {
    pub(super) fn of(name: &ResourceName, key: &ApiKeyResource, operator_namespace: &str) -> Self {
        let created = key.metadata.creation_timestamp.as_ref().map(|it| it.0);
        let is_outside_operator_namespace = name.namespace() != operator_namespace;
        Self { is_outside_operator_namespace, created, name: name.clone() }
    }

    pub(super) fn namespace(&self) -> &str {
        self.name.namespace()
    }
}

/// Whether a key of this namespace may be used for what a scope names.
///
/// Anyone who can write a key can claim any owner, and thereby any group. So outside the operator's
/// namespace a key is good only for models of its own namespace, which the same people can write.
pub fn is_scope_allowed(scope: &str, namespace: &str, operator_namespace: &str) -> bool {
    namespace == operator_namespace || scope.split_once('/').is_some_and(|(it, _)| it == namespace)
}

/// # Errors
/// What is wrong with it, for people; never the hash.
pub(super) fn compile<'a>(
    key: &ApiKeyResource,
    operator_namespace: &str,
    replacements: impl IntoIterator<Item = &'a ApiKeySpec>,
) -> Result<KeyRecord, String> {
    let (spec, id) = (&key.spec, key.metadata.name.as_deref().unwrap_or_default());
    let owner =
        spec.owner.who().ok_or("spec.owner: set one of a person, a team and a service account")?;
    let namespace = key.metadata.namespace.as_deref().unwrap_or_default();
    let models =
        spec.models.iter().filter(|scope| is_scope_allowed(scope, namespace, operator_namespace));
    let (models, resources) = patterns(models)?;
    let found = key.status.as_ref().map(|status| status.owner_groups.as_slice());
    let groups = groups(&owner, found.unwrap_or_default());
    let record = KeyRecord {
        id: KeyId::parse(id).map_err(|error| format!("metadata.name: {error}"))?,
        client_id: spec.client_id.clone(),
        owner: document::Owner { name: owner.name(), groups },
        hash: KeyHash::parse(&spec.hash).map_err(|error| format!("spec.hash: {error}"))?,
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

/// The groups an owner belongs to by its kind, and those found for it.
fn groups(owner: &OwnerIdentity<'_>, found: &[String]) -> Vec<Group> {
    let own = match owner {
        OwnerIdentity::Person { .. } => Vec::new(),
        OwnerIdentity::Team(team) => vec![(*team).to_owned()],
        OwnerIdentity::ServiceAccount { namespace, .. } => {
            let all = "system:serviceaccounts";
            vec![all.to_owned(), format!("{all}:{namespace}")]
        }
    };
    let mut groups = Vec::new();
    for name in own.iter().chain(found) {
        // No access rule can name an invalid group.
        if let Ok(group) = Group::parse(name)
            && !groups.contains(&group)
        {
            groups.push(group);
        }
    }
    groups
}

fn patterns<'a>(
    scopes: impl Iterator<Item = &'a String>,
) -> Result<(Vec<ModelPattern>, Vec<ResourcePattern>), String> {
    let (mut models, mut resources) = (Vec::new(), Vec::new());
    for text in scopes {
        if text == "*" {
            models.push(ModelPattern::Prefix("".into()));
        } else {
            let invalid = |error| format!("spec.models: {text:?}: {error}");
            resources.push(ResourcePattern::parse(text).map_err(invalid)?);
        }
    }
    Ok((models, resources))
}
