use super::*;
use crate::{mint, system_random};
use jiff::ToSpan as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use llm_contract::{Group, ResourceName};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2030-01-01T00:00:00Z")
}

fn minted() -> MintedKey {
    mint(&mut system_random).unwrap()
}

fn laptop() -> NewKey<KubeOwner, ResourceScope> {
    NewKey {
        name: "laptop".into(),
        owner: KubeOwner::team(Group::parse("ml").unwrap()),
        models: vec!["models/qwen3".parse().unwrap()],
        not_before: None,
        expires_at: None,
        concurrency: None,
    }
}

/// As the server stores it, which gives it a time.
fn stored(new: NewKey<KubeOwner, ResourceScope>) -> ApiKeyResource {
    let mut key = create(new, &minted(), now()).unwrap();
    key.metadata.creation_timestamp = Some(Time(now()));
    key.metadata.generation = Some(1);
    key
}

fn rotated(old: &ApiKeyResource) -> ApiKeyResource {
    let id = KeyId::parse(&old.name_any()).unwrap();
    let later = now().checked_add(1.hour()).unwrap();
    successor(old, validity(old).rotate(id, DAY, later).unwrap(), &minted())
}

fn with_condition(
    mut key: ApiKeyResource,
    status: &str,
    reason: &str,
    seen: i64,
) -> ApiKeyResource {
    let condition = Condition {
        type_: "Active".into(),
        status: status.into(),
        reason: reason.into(),
        message: "why".into(),
        observed_generation: Some(seen),
        last_transition_time: Time(now()),
    };
    key.status = Some(ApiKeyStatus { conditions: vec![condition], ..ApiKeyStatus::default() });
    key
}

fn state(key: &ApiKeyResource) -> String {
    KubeKey::of(key, &HashMap::new()).display_state(now())
}

#[test]
fn a_resource_has_what_was_requested_and_never_the_key() {
    let minted = minted();
    let new = NewKey {
        models: ["models/qwen3", "*", "models/*", "*"].map(|it| it.parse().unwrap()).into(),
        concurrency: Some(3),
        ..laptop()
    };
    let key = create(new, &minted, now()).unwrap();
    let id = minted.key.id();
    assert_eq!(key.name_any(), id.as_str());
    assert_eq!(key.spec.client_id, format!("ml-{id}"));
    assert_eq!(key.spec.models, ["models/qwen3", "*", "models/*"], "each once");
    assert_eq!(key.spec.limits.unwrap().concurrency, Some(3));
    let text = serde_json::to_string(&key).unwrap();
    let secret = minted.key.reveal().rsplit('-').next().unwrap();
    assert!(!text.contains(secret), "{text}");
}

#[test]
fn a_new_key_is_checked_as_in_a_file_store() {
    for (new, expected) in [
        (NewKey { name: "a\nb".into(), ..laptop() }, KeysError::Name),
        (NewKey { models: vec![], ..laptop() }, KeysError::Models),
        (NewKey { expires_at: Some(now()), ..laptop() }, KeysError::Expiry),
    ] {
        assert_eq!(create(new, &minted(), now()), Err(expected));
    }
}

#[test]
fn the_groups_of_an_owner_are_those_that_are_known() {
    let ml = Group::parse("ml").unwrap();
    let account = ResourceName::parse("apps/chat").unwrap();
    let person = || KubeOwner::person("https://sso".into(), "4f1c".into(), "ada".into());
    for (owner, groups) in [
        (KubeOwner::team(ml.clone()), &["ml"][..]),
        (KubeOwner::team(ml.clone()).also_in([ml.clone()]), &["ml"]),
        (
            KubeOwner::service_account(&account),
            &["system:serviceaccounts", "system:serviceaccounts:apps"],
        ),
        (person(), &[]),
        (person().also_in([ml]), &["ml"]),
    ] {
        let key = create(NewKey { owner, ..laptop() }, &minted(), now()).unwrap();
        let status = key.status.unwrap();
        assert_eq!(status.owner_groups, groups);
        assert_eq!(status.owner_checked_at.is_some(), !groups.is_empty());
    }
}

#[test]
fn a_replacement_has_the_spec_and_the_groups_of_the_old_key() {
    let mut old = stored(NewKey { expires_at: Some(at("2030-01-31T00:00:00Z")), ..laptop() });
    old.spec.limits = Some(CallerLimits { requests_per_minute: Some(7), ..Default::default() });
    let new = rotated(&old);
    let replaces = Replaces { id: old.name_any(), overlap_until: Time(at("2030-01-02T01:00:00Z")) };
    let expected = ApiKeySpec {
        client_id: format!("ml-{}", new.name_any()),
        hash: new.spec.hash.clone(),
        expires_at: Some(Time(at("2030-01-31T01:00:00Z"))),
        replaces: Some(replaces),
        ..old.spec.clone()
    };
    assert_eq!(new.spec, expected);
    assert_ne!(new.spec.hash, old.spec.hash);
    assert_eq!(new.status, old.status, "the groups of its owner");
}

#[test]
fn the_end_of_an_overlap_counts_if_it_comes_before_the_expiry() {
    for (expires_at, expected) in [
        (None, "2030-01-02T01:00:00Z"),
        (Some(at("2030-01-31T00:00:00Z")), "2030-01-02T01:00:00Z"),
        (Some(at("2030-01-01T12:00:00Z")), "2030-01-01T12:00:00Z"),
    ] {
        let old = stored(NewKey { expires_at, ..laptop() });
        let keys = [rotated(&old), old];
        let view = KubeKey::of(&keys[1], &replacements(&keys));
        assert_eq!(view.validity.expires_at, Some(at(expected)));
        assert_eq!(view.replaced_by, keys[0].metadata.name);
    }
}

#[test]
fn of_two_overlaps_the_one_that_ends_first_counts() {
    let old = stored(laptop());
    let (mut one, other) = (rotated(&old), rotated(&old));
    if let Some(replaces) = &mut one.spec.replaces {
        replaces.overlap_until = Time(now());
    }
    for keys in [[&one, &other], [&other, &one]] {
        let view = KubeKey::of(&old, &replacements(keys));
        assert_eq!(view.validity.expires_at, Some(now()));
    }
}

#[test]
fn the_operators_reason_is_shown_for_a_key_that_should_be_in_force() {
    let key = stored(laptop());
    assert_eq!(state(&key), "active");
    for (status, reason, seen, expected) in [
        ("True", "Active", 1, "active"),
        ("False", "NoModelLeft", 1, "refused: NoModelLeft"),
        ("False", "Suspended", 0, "active"),
    ] {
        assert_eq!(state(&with_condition(key.clone(), status, reason, seen)), expected);
    }
    let mut suspended = with_condition(key, "False", "NoModelLeft", 1);
    suspended.spec.suspended = Some(true);
    assert_eq!(state(&suspended), "suspended");
}

#[test]
fn a_change_of_status_does_not_stop_a_rotation_but_one_of_the_spec_does() {
    let old = stored(laptop());
    let mut new = with_condition(old.clone(), "True", "Active", 1);
    new.metadata.resource_version = Some("2".into());
    assert!(is_same_spec(&old, &new));
    new.metadata.generation = Some(2);
    assert!(!is_same_spec(&old, &new));
    let mut marked = old.clone();
    marked.annotations_mut().insert(REPLACED_BY.into(), "abcdefgh2345".into());
    assert!(!is_same_spec(&old, &marked));
}
