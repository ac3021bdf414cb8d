//! The contents of an `ApiKey` and its changes; pure.

use super::{KubeOwner, ResourceScope};
use crate::{
    KeysError, MintedKey, NewKey, StoredKeyState, Validity, stored_key::client_id,
    validity::Rotation,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use llm_contract::KeyId;
use llm_crd::{
    ApiKeyOwner, ApiKeyResource, ApiKeySpec, ApiKeyStatus, CallerLimits, ConditionType,
    OwnerIdentity, Replaces,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// The annotation that names the key's replacement. Of concurrent rotations, the one that writes it
/// wins.
const REPLACED_BY: &str = "llm.nebari.dev/replaced-by";

/// A key in the cluster, without its hash; also the output of `--json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeKey {
    /// The resource's name.
    pub id: String,
    pub name: String,
    /// What upstreams see as `X-Client-ID`.
    pub client_id: String,
    pub owner: ApiKeyOwner,
    /// The groups of the owner when they were last checked.
    pub groups: Vec<String>,
    pub models: Vec<String>,
    /// The end of an overlap counts as its expiry.
    #[serde(flatten)]
    pub validity: Validity,
    pub limits: CallerLimits,
    pub replaces: Option<String>,
    pub replaced_by: Option<String>,
    /// Roughly: proxies report uses now and then.
    pub last_used_at: Option<Timestamp>,
    /// `None` while the operator has not seen the current resource.
    #[serde(rename = "verdict")]
    pub condition: Option<ActiveCondition>,
}

/// The condition `Active`, which the operator sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveCondition {
    /// Whether proxies accept the key.
    pub active: bool,
    pub reason: String,
    pub message: String,
}

impl KubeKey {
    /// `replacements` includes those of this key, if any.
    pub(super) fn of(key: &ApiKeyResource, replacements: &HashMap<&str, Replacement<'_>>) -> Self {
        let spec = &key.spec;
        let id = key.name_any();
        let status = key.status.clone().unwrap_or_default();
        let replacement = replacements.get(id.as_str());
        let mut validity = validity(key);
        if let Some(Replacement { overlap_until, .. }) = replacement {
            let end = validity.expires_at.map_or(*overlap_until, |end| end.min(*overlap_until));
            validity.expires_at = Some(end);
        }
        Self {
            replaced_by: replaced_by(key)
                .map(|by| by.to_string())
                .or_else(|| replacement.map(|it| it.by.to_owned())),
            id,
            name: spec.display_name.clone(),
            client_id: spec.client_id.clone(),
            owner: spec.owner.clone(),
            models: spec.models.clone(),
            validity,
            limits: spec.limits.unwrap_or_default(),
            replaces: spec.replaces.as_ref().map(|replaces| replaces.id.clone()),
            condition: active_condition(key.metadata.generation, &status),
            groups: status.owner_groups,
            last_used_at: status.last_used_at.map(|time| time.0),
        }
    }

    pub fn owner_name(&self) -> String {
        self.owner.who().as_ref().map_or_else(|| "unknown".to_owned(), OwnerIdentity::name)
    }

    /// The state for people: the operator's reason if it refuses a key that would be active.
    pub fn display_state(&self, now: Timestamp) -> String {
        match (self.validity.state(now), &self.condition) {
            (StoredKeyState::Active, Some(condition)) if !condition.active => {
                format!("refused: {}", condition.reason)
            }
            (state, _) => state.to_string(),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Replacement<'a> {
    by: &'a str,
    overlap_until: Timestamp,
}

/// The replacements that these keys declare, by the id of the old key. Of several, the one whose
/// overlap ends first.
pub(super) fn replacements<'a>(
    keys: impl IntoIterator<Item = &'a ApiKeyResource>,
) -> HashMap<&'a str, Replacement<'a>> {
    let mut replacements: HashMap<&str, Replacement<'_>> = HashMap::new();
    for key in keys {
        let (Some(by), Some(replaces)) = (&key.metadata.name, &key.spec.replaces) else {
            continue;
        };
        let new = Replacement { by, overlap_until: replaces.overlap_until.0 };
        let kept = replacements.entry(&replaces.id).or_insert(new);
        if new.overlap_until < kept.overlap_until {
            *kept = new;
        }
    }
    replacements
}

/// The resource for a new key. Its status has to be written separately.
pub(super) fn create(
    new: NewKey<KubeOwner, ResourceScope>,
    minted: &MintedKey,
    now: Timestamp,
) -> Result<ApiKeyResource, KeysError> {
    new.check(&new.owner.name(), &new.owner.groups, now)?;
    let NewKey { name, owner, models, not_before, expires_at, concurrency } = new;
    let mut once = HashSet::new();
    let models = models.iter().map(ToString::to_string).filter(|model| once.insert(model.clone()));
    let spec = ApiKeySpec {
        display_name: name,
        client_id: client_id(&owner.name(), &minted.key),
        hash: minted.hash.to_string(),
        models: models.collect(),
        expires_at: expires_at.map(Time),
        not_before: not_before.map(Time),
        suspended: None,
        limits: concurrency.map(|_| CallerLimits { concurrency, ..CallerLimits::default() }),
        replaces: None,
        owner: owner.who,
    };
    let groups: Vec<_> = owner.groups.iter().map(ToString::to_string).collect();
    let checked_at = (!groups.is_empty()).then_some(Time(now));
    Ok(resource(spec, minted, groups, checked_at))
}

/// The resource for a key in place of another, with the same spec and groups.
pub(super) fn successor(
    old: &ApiKeyResource,
    rotation: Rotation,
    minted: &MintedKey,
) -> ApiKeyResource {
    let Rotation { overlap_until, expires_at } = rotation;
    let owner = old.spec.owner.who().as_ref().map(OwnerIdentity::name).unwrap_or_default();
    let spec = ApiKeySpec {
        client_id: client_id(&owner, &minted.key),
        hash: minted.hash.to_string(),
        expires_at: expires_at.map(Time),
        not_before: None,
        suspended: None,
        replaces: Some(Replaces { id: old.name_any(), overlap_until: Time(overlap_until) }),
        ..old.spec.clone()
    };
    let ApiKeyStatus { owner_groups, owner_checked_at, .. } =
        old.status.clone().unwrap_or_default();
    resource(spec, minted, owner_groups, owner_checked_at)
}

fn resource(
    spec: ApiKeySpec,
    minted: &MintedKey,
    owner_groups: Vec<String>,
    owner_checked_at: Option<Time>,
) -> ApiKeyResource {
    let mut key = ApiKeyResource::new(minted.key.id().as_str(), spec);
    key.status = Some(ApiKeyStatus { owner_groups, owner_checked_at, ..ApiKeyStatus::default() });
    key
}

/// The validity by the key's own spec.
pub(super) fn validity(key: &ApiKeyResource) -> Validity {
    let time = |time: &Option<Time>| time.as_ref().map(|time| time.0);
    Validity {
        // The API server sets this on every resource.
        created_at: time(&key.metadata.creation_timestamp).unwrap_or_default(),
        not_before: time(&key.spec.not_before),
        expires_at: time(&key.spec.expires_at),
        suspended: key.spec.is_suspended(),
        revoked: false,
    }
}

/// The key that replaced this one.
pub(super) fn replaced_by(key: &ApiKeyResource) -> Option<KeyId> {
    key.annotations().get(REPLACED_BY).and_then(|id| KeyId::parse(id).ok())
}

/// The patch that marks a key as replaced, if it has not changed since it was read. It sets the key's
/// own expiry, because the other key's `replaces` is gone when that key is deleted.
pub(super) fn replaced_patch(old: &ApiKeyResource, by: KeyId, overlap_until: Timestamp) -> Value {
    let end = validity(old).expires_at.map_or(overlap_until, |end| end.min(overlap_until));
    json!({
        "metadata": {
            "resourceVersion": old.metadata.resource_version,
            "annotations": { REPLACED_BY: by },
        },
        "spec": { "expiresAt": Time(end) },
    })
}

/// Whether a rotation may ignore the difference between these two versions: the operator may write
/// the status at any time.
pub(super) fn is_same_spec(one: &ApiKeyResource, other: &ApiKeyResource) -> bool {
    let version = |key: &ApiKeyResource| (key.metadata.uid.clone(), key.metadata.generation);
    version(one) == version(other) && replaced_by(one) == replaced_by(other)
}

fn active_condition(generation: Option<i64>, status: &ApiKeyStatus) -> Option<ActiveCondition> {
    let active = ConditionType::Active.as_str();
    let condition = status.conditions.iter().find(|condition| condition.type_ == active)?;
    let observed = condition.observed_generation.or(status.observed_generation);
    (observed.is_none() || observed == generation).then(|| ActiveCondition {
        active: condition.status == "True",
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    })
}

#[cfg(test)]
mod tests;
