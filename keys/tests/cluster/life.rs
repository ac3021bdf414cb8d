//! A key from its making to its end, through the library.

use crate::support::{DAY, Place, laptop, secret};
use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Unit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams, PostParams};
use llm_contract::{Group, KeyHash, KeyId, ResourceName};
use llm_crd::{ApiKeyResource, ApiKeySpec};
use llm_keys::{
    KeysError, KubeOwner, KubeStoreError, NewKey, StoredKeyState, clock, system_random,
};
use serde_json::json;
use std::{fs, sync::Arc, thread};
use tracing_subscriber::fmt::writer::OptionalWriter;

fn unknown(id: KeyId) -> String {
    KeysError::Unknown(id).to_string()
}

#[tokio::test]
async fn a_key_that_was_made_matches_the_hash_in_the_cluster_and_is_nowhere_in_it() {
    let place = Place::new().await;
    let (id, key) = place.create().await;
    let resource = place.resource(id.as_str()).await;
    assert!(KeyHash::parse(&resource.spec.hash).unwrap().matches(&key, None));
    let text = place.cluster.kubectl(&["get", "apikeys", "-A", "-o", "yaml"]).await.unwrap();
    assert!(text.contains(id.as_str()) && !text.contains(secret(key.reveal())), "{text}");
}

#[tokio::test]
async fn a_key_is_in_no_log() {
    let place = Place::new().await;
    let log = tempfile::NamedTempFile::new().unwrap();
    let (file, ours) = (log.reopen().map(Arc::new).unwrap(), thread::current().id());
    // For all threads, though only one is written: what others meet first would else be taken to
    // be of no interest to anybody.
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || {
            if thread::current().id() == ours {
                OptionalWriter::some(Arc::clone(&file))
            } else {
                OptionalWriter::none()
            }
        })
        .init();
    let (id, key) = place.create().await;
    let now = clock::wall();
    let (_, new) = place.store.rotate(id, DAY, now, &mut system_random).await.unwrap();
    let log = fs::read_to_string(log.path()).unwrap();
    assert!(log.contains(id.as_str()), "nothing was logged");
    for key in [key, new] {
        assert!(!log.contains(secret(key.reveal())));
    }
}

#[tokio::test]
async fn a_key_is_read_as_it_was_asked_for() {
    let place = Place::new().await;
    let owner = KubeOwner::person("https://sso.example.org".into(), "4f1c".into(), "ada".into());
    let new = NewKey {
        owner: owner.also_in([Group::parse("/ml").unwrap()]),
        expires_at: Some("2099-01-31T00:00:00Z".parse().unwrap()),
        concurrency: Some(3),
        ..laptop()
    };
    let (made, key) = place.store.create(new, clock::wall(), &mut system_random).await.unwrap();
    let read = place.store.get(key.id()).await.unwrap();
    assert_eq!(read, made);
    assert_eq!((read.name.as_str(), read.owner_name().as_str()), ("laptop", "ada"));
    assert_eq!(
        (&read.groups[..], &read.models[..]),
        (&["ml".into()][..], &["models/qwen3".into()][..])
    );
    assert_eq!(read.limits.concurrency, Some(3));
    assert_eq!(read.validity.state(clock::wall()), StoredKeyState::Active);
}

#[tokio::test]
async fn the_groups_of_a_service_account_are_those_that_kubernetes_gives_it() {
    let place = Place::new().await;
    let account = ResourceName::parse("apps/chat").unwrap();
    let new = NewKey { owner: KubeOwner::service_account(&account), ..laptop() };
    let (_, key) = place.store.create(new, clock::wall(), &mut system_random).await.unwrap();
    let status = place.resource(key.id().as_str()).await.status.unwrap();
    assert_eq!(status.owner_groups, ["system:serviceaccounts", "system:serviceaccounts:apps"]);
}

#[tokio::test]
async fn an_id_that_is_taken_is_drawn_again_and_not_for_ever() {
    let place = Place::new().await;
    let mut same = |bytes: &mut [u8]| {
        bytes.iter_mut().zip(0..).for_each(|(byte, number)| *byte = number);
        Ok(())
    };
    let taken = place.store.create(laptop(), clock::wall(), &mut same).await.unwrap().1.id();
    let mut first = true;
    let mut once = |bytes: &mut [u8]| {
        // An id, a secret and a salt are three draws.
        if std::mem::take(&mut first) { same(bytes) } else { system_random(bytes) }
    };
    let drawn = place.store.create(laptop(), clock::wall(), &mut once).await.unwrap().1.id();
    assert_ne!(drawn, taken);
    let refused = place.store.create(laptop(), clock::wall(), &mut same).await.unwrap_err();
    assert_eq!(refused.to_string(), KeysError::IdTaken(taken).to_string());
}

#[tokio::test]
async fn a_key_is_suspended_resumed_and_revoked() {
    let place = Place::new().await;
    let (id, _) = place.create().await;
    let state = |key: llm_keys::KubeKey| key.validity.state(clock::wall());
    assert_eq!(state(place.store.suspend(id).await.unwrap()), StoredKeyState::Suspended);
    assert!(place.resource(id.as_str()).await.spec.is_suspended());
    assert_eq!(state(place.store.resume(id).await.unwrap()), StoredKeyState::Active);
    assert_eq!(state(place.store.revoke(id).await.unwrap()), StoredKeyState::Revoked);
    assert!(place.resources().get_opt(id.as_str()).await.unwrap().is_none());
    for refused in [
        place.store.get(id).await,
        place.store.suspend(id).await,
        place.store.resume(id).await,
        place.store.revoke(id).await,
        place.rotate(id).await,
    ] {
        assert_eq!(refused.unwrap_err().to_string(), unknown(id));
    }
}

#[tokio::test]
async fn a_rotation_adds_one_resource_and_changes_nothing_of_the_old_one_but_its_end() {
    let place = Place::new().await;
    let (old, _) = place.create().await;
    let before = place.resource(old.as_str()).await;
    let new = place.rotate(old).await.unwrap();
    let (after, added) = (place.resource(old.as_str()).await, place.resource(&new.id).await);
    let overlap_until = added.spec.replaces.unwrap().overlap_until;
    let ends = ApiKeySpec { expires_at: Some(overlap_until.clone()), ..before.spec };
    assert_eq!(after.spec, ends);
    assert_eq!(added.status, before.status, "the groups of its owner");
    let shown = place.store.get(old).await.unwrap();
    assert_eq!(shown.validity.expires_at, Some(overlap_until.0));
    assert_eq!(shown.replaced_by, Some(new.id.clone()));
    let listed = place.store.list().await.unwrap();
    assert!(listed.contains(&shown) && listed.contains(&new), "{listed:?}");
}

#[tokio::test]
async fn a_rotation_does_not_prolong_a_key_that_ends_within_the_overlap() {
    let place = Place::new().await;
    let end = clock::wall().round(Unit::Second).unwrap() + SignedDuration::from_hours(1);
    let new = NewKey { expires_at: Some(end), ..laptop() };
    let (_, key) = place.store.create(new, clock::wall(), &mut system_random).await.unwrap();
    place.rotate(key.id()).await.unwrap();
    assert_eq!(place.resource(key.id().as_str()).await.spec.expires_at, Some(Time(end)));
}

#[tokio::test]
async fn a_rotation_keeps_limits_that_this_program_cannot_set() {
    let place = Place::new().await;
    let (old, _) = place.create().await;
    let patch = Patch::Merge(json!({ "spec": { "limits": { "tokensPerMinute": 7 } } }));
    place.resources().patch(old.as_str(), &PatchParams::default(), &patch).await.unwrap();
    let new = place.rotate(old).await.unwrap();
    assert_eq!(place.resource(&new.id).await.spec.limits.unwrap().tokens_per_minute, Some(7));
}

#[tokio::test]
async fn a_key_that_was_replaced_ends_though_the_new_one_is_deleted_by_whomever() {
    let place = Place::new().await;
    let delete = async |id: KeyId| place.kubectl(&["delete", "apikey", id.as_str()]).await;
    let revoke = async |id| drop(place.store.revoke(id).await.unwrap());
    let state = async |id, now| place.store.get(id).await.unwrap().validity.state(now);
    let (one, _) = place.create().await;
    let (other, _) = place.create().await;
    let (by_one, by_other) = (by(&place, one).await, by(&place, other).await);
    delete(by_one).await;
    revoke(by_other).await;
    let now = clock::wall();
    for old in [one, other] {
        assert_eq!(state(old, now).await, StoredKeyState::Active, "the overlap is not over");
        assert_eq!(state(old, now + SignedDuration::from_hours(24)).await, StoredKeyState::Expired);
    }
    let replaced = KeysError::Replaced { id: one, by: by_one }.to_string();
    assert_eq!(place.rotate(one).await.unwrap_err().to_string(), replaced);
}

/// Makes a key in place of another.
async fn by(place: &Place, old: KeyId) -> KeyId {
    KeyId::parse(&place.rotate(old).await.unwrap().id).unwrap()
}

#[tokio::test]
async fn what_cannot_be_rotated_says_why_and_leaves_nothing_behind() {
    let place = Place::new().await;
    let (id, _) = place.create().await;
    let rotate = async |overlap| {
        let made = place.store.rotate(id, overlap, clock::wall(), &mut system_random).await;
        made.unwrap_err().to_string()
    };
    assert_eq!(rotate(DAY * 91).await, KeysError::Overlap.to_string());
    let later = r#"{"spec": {"notBefore": "2099-01-01T00:00:00Z"}}"#;
    place.kubectl(&["patch", "apikey", id.as_str(), "--type=merge", "--patch", later]).await;
    assert_eq!(rotate(DAY).await, KeysError::NotYetValid(id).to_string());
    place.store.suspend(id).await.unwrap();
    assert_eq!(rotate(DAY).await, KeysError::Suspended(id).to_string());
    assert_eq!(place.ids().await, [id.to_string()]);
}

#[tokio::test]
async fn what_the_schema_refuses_is_said_in_its_words() {
    let place = Place::new().await;
    let models = vec!["-models/qwen3".parse().unwrap()];
    let new = NewKey { models, ..laptop() };
    let refused = place.store.create(new, clock::wall(), &mut system_random).await.unwrap_err();
    let KubeStoreError::Refused { source, .. } = refused else {
        panic!("{refused}");
    };
    assert!(source.to_string().contains("<namespace>/<name> of a model"), "{source}");
}

#[tokio::test]
async fn more_keys_than_a_page_holds_are_listed_oldest_first() {
    const KEYS: usize = 600;
    let place = Place::new().await;
    let (id, _) = place.create().await;
    let one = place.resource(id.as_str()).await;
    let resources = place.resources();
    let added = stream::iter(0..KEYS).map(|number| {
        let key = ApiKeyResource::new(&base32(number), one.spec.clone());
        let resources = resources.clone();
        async move { resources.create(&PostParams::default(), &key).await.unwrap() }
    });
    added.buffer_unordered(20).for_each(async |_| ()).await;
    let listed = place.store.list().await.unwrap();
    assert_eq!(listed.len(), KEYS + 1);
    assert!(listed.is_sorted_by_key(|key| key.validity.created_at));
}

/// A number as a key id.
fn base32(mut number: usize) -> String {
    let digits = (0..KeyId::BYTES).map(|_| {
        let digit = KeyId::ALPHABET[number % KeyId::ALPHABET.len()];
        number /= KeyId::ALPHABET.len();
        char::from(digit)
    });
    digits.collect()
}
