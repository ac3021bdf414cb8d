//! What stands in an `ApiKey`, and what becomes of it; pure.

use super::{KubeOwner, Scope};
use crate::{
    KeyOwner as _, KeysError, Minted, NewKey, State, StoredLimits, Validity, stored_key::client_id,
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
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    fmt,
};

/// Names the key that was made in place of this one. Rotations at the same time are decided by
/// who writes it.
const REPLACED_BY: &str = "llm.nebari.dev/replaced-by";

/// A key as it stands in the cluster: all but its hash.
#[derive(Clone, Debug, PartialEq)]
pub struct KubeKey {
    /// The resource's name, which is the public part of the key.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// What upstreams see as `X-Client-ID`.
    pub client_id: String,
    /// Who is behind it.
    pub owner: ApiKeyOwner,
    /// The groups they were last found in.
    pub groups: Vec<String>,
    /// Which models it may ask for, as they are written.
    pub models: Vec<String>,
    /// When it is in force; the end of an overlap counts.
    pub validity: Validity,
    /// How much it may take.
    pub limits: CallerLimits,
    /// The key in whose place it was made.
    pub replaces: Option<String>,
    /// The key that was made in its place.
    pub replaced_by: Option<String>,
    /// When it was last used, roughly.
    pub last_used_at: Option<Timestamp>,
    /// What the operator says of it, if it has seen the resource as it is now.
    pub verdict: Option<Verdict>,
}

/// What the operator says of a key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Whether proxies are told to accept it.
    pub active: bool,
    /// Why, in one word.
    pub reason: String,
    /// The same for people.
    pub message: String,
}

/// Whether a key is in force, by its own words and by the operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// What the resource says at this moment.
    Stored(State),
    /// It should be in force; the operator says why it is not.
    Refused(&'a str),
}

impl KubeKey {
    /// Reads a resource; `overlaps` holds those of the keys that replace it.
    pub(super) fn of(key: &ApiKeyResource, overlaps: &HashMap<&str, Overlap<'_>>) -> Self {
        let spec = &key.spec;
        let id = key.name_any();
        let status = key.status.clone().unwrap_or_default();
        let overlap = overlaps.get(id.as_str());
        let mut validity = validity(key);
        if let Some(Overlap { until, .. }) = overlap {
            let end = validity.expires_at.map_or(*until, |end| end.min(*until));
            validity.expires_at = Some(end);
        }
        Self {
            replaced_by: replaced_by(key)
                .map(|by| by.to_string())
                .or_else(|| overlap.map(|overlap| overlap.by.to_owned())),
            id,
            name: spec.display_name.clone(),
            client_id: spec.client_id.clone(),
            owner: spec.owner.clone(),
            models: spec.models.clone(),
            validity,
            limits: spec.limits.unwrap_or_default(),
            replaces: spec.replaces.as_ref().map(|replaces| replaces.id.clone()),
            verdict: verdict(key.metadata.generation, &status),
            groups: status.owner_groups,
            last_used_at: status.last_used_at.map(|time| time.0),
        }
    }

    /// Who is behind it, by name.
    pub fn owner_name(&self) -> String {
        self.owner.who().as_ref().map_or_else(|| "unclear".to_owned(), OwnerIdentity::name)
    }

    /// Whether it is in force at this moment.
    pub fn standing(&self, now: Timestamp) -> Standing<'_> {
        match (self.validity.state(now), &self.verdict) {
            (State::Active, Some(verdict)) if !verdict.active => Standing::Refused(&verdict.reason),
            (state, _) => Standing::Stored(state),
        }
    }
}

/// How long a replaced key stays valid, and what replaces it.
#[derive(Clone, Copy)]
pub(super) struct Overlap<'a> {
    by: &'a str,
    until: Timestamp,
}

/// The overlaps that these keys say there are, by the id of the older key; the one that ends
/// first counts.
pub(super) fn overlaps<'a>(
    keys: impl IntoIterator<Item = &'a ApiKeyResource>,
) -> HashMap<&'a str, Overlap<'a>> {
    let mut overlaps: HashMap<&str, Overlap<'_>> = HashMap::new();
    for key in keys {
        let (Some(by), Some(replaces)) = (&key.metadata.name, &key.spec.replaces) else {
            continue;
        };
        let new = Overlap { by, until: replaces.overlap_until.0 };
        let kept = overlaps.entry(&replaces.id).or_insert(new);
        if new.until < kept.until {
            *kept = new;
        }
    }
    overlaps
}

/// The resource for a new key. What it says as its status has to be written apart.
pub(super) fn create(
    new: NewKey<KubeOwner, Scope>,
    minted: &Minted,
    now: Timestamp,
) -> Result<ApiKeyResource, KeysError> {
    new.check(now)?;
    let NewKey { name, owner, models, not_before, expires_at, limits } = new;
    let StoredLimits { concurrency } = limits;
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

/// The resource for a key in place of another: all that was said of the old one holds for it.
pub(super) fn successor(
    old: &ApiKeyResource,
    rotation: Rotation,
    minted: &Minted,
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
    minted: &Minted,
    owner_groups: Vec<String>,
    owner_checked_at: Option<Time>,
) -> ApiKeyResource {
    let mut key = ApiKeyResource::new(minted.key.id().as_str(), spec);
    key.status = Some(ApiKeyStatus { owner_groups, owner_checked_at, ..ApiKeyStatus::default() });
    key
}

/// When the key is in force by its own words.
pub(super) fn validity(key: &ApiKeyResource) -> Validity {
    let time = |time: &Option<Time>| time.as_ref().map(|time| time.0);
    Validity {
        // The server gives every resource this time.
        created_at: time(&key.metadata.creation_timestamp).unwrap_or_default(),
        not_before: time(&key.spec.not_before),
        expires_at: time(&key.spec.expires_at),
        suspended: key.spec.is_suspended(),
        revoked: false,
    }
}

/// The key that won the place of this one.
pub(super) fn replaced_by(key: &ApiKeyResource) -> Option<KeyId> {
    key.annotations().get(REPLACED_BY).and_then(|id| KeyId::parse(id).ok())
}

/// What is written into a key that another one replaces, if it still is as it was read. It ends
/// with the overlap by its own words: those of the other one go when that one goes.
pub(super) fn replaced(old: &ApiKeyResource, by: KeyId, overlap_until: Timestamp) -> Value {
    let end = validity(old).expires_at.map_or(overlap_until, |end| end.min(overlap_until));
    json!({
        "metadata": {
            "resourceVersion": old.metadata.resource_version,
            "annotations": { REPLACED_BY: by },
        },
        "spec": { "expiresAt": Time(end) },
    })
}

/// Whether nothing changed between these two readings that a rotation goes by. What the operator
/// writes of a key does not count: it may do so at any time.
pub(super) fn is_same(one: &ApiKeyResource, other: &ApiKeyResource) -> bool {
    let facts = |key: &ApiKeyResource| (key.metadata.uid.clone(), key.metadata.generation);
    facts(one) == facts(other) && replaced_by(one) == replaced_by(other)
}

fn verdict(generation: Option<i64>, status: &ApiKeyStatus) -> Option<Verdict> {
    let about = ConditionType::Active.as_str();
    let condition = status.conditions.iter().find(|condition| condition.type_ == about)?;
    let seen = condition.observed_generation.or(status.observed_generation);
    (seen.is_none() || seen == generation).then(|| Verdict {
        active: condition.status == "True",
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    })
}

impl fmt::Display for Standing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored(state) => state.fmt(f),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests;
