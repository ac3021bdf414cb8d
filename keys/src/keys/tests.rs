use super::*;
use crate::{StoredKeyState, mint, system_random};
use llm_contract::{Group, ModelPattern, Owner};

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

fn laptop() -> NewKey {
    NewKey {
        name: "laptop".into(),
        owner: Owner { name: "laptop".into(), groups: vec![Group::parse("ml").unwrap()] },
        models: vec![ModelPattern::parse("demo/*").unwrap()],
        not_before: None,
        expires_at: None,
        concurrency: None,
    }
}

fn with(new: NewKey) -> (Keys, KeyId) {
    let mut keys = Keys::default();
    let id = keys.create(new, &minted(), now()).unwrap().id;
    (keys, id)
}

fn refusal(new: NewKey) -> KeysError {
    Keys::default().create(new, &minted(), now()).unwrap_err()
}

#[test]
fn a_document_is_read_back_as_it_was_written() {
    let (mut keys, id) = with(NewKey {
        not_before: Some(at("2030-01-02T00:00:00Z")),
        expires_at: Some(at("2030-02-01T00:00:00Z")),
        concurrency: Some(3),
        ..laptop()
    });
    keys.rotate(id, DAY, &minted(), at("2030-01-03T00:00:00Z")).unwrap();
    keys.revoke(id, now()).unwrap();
    assert_eq!(Keys::parse(&keys.to_json().unwrap()).unwrap(), keys);
}

#[test]
fn the_key_in_clear_is_not_stored() {
    let minted = minted();
    let mut keys = Keys::default();
    keys.create(laptop(), &minted, now()).unwrap();
    let text = String::from_utf8(keys.to_json().unwrap()).unwrap();
    let secret = minted.key.reveal().rsplit('-').next().unwrap();
    assert!(text.contains(minted.key.id().as_str()) && !text.contains(secret), "{text}");
}

#[test]
fn a_new_key_is_checked() {
    let owner = |groups: usize| Owner {
        name: "me".into(),
        groups: vec![Group::parse("g").unwrap(); groups],
    };
    let any = ModelPattern::parse("*").unwrap();
    for (new, expected) in [
        (NewKey { name: String::new(), ..laptop() }, KeysError::Name),
        (NewKey { name: "a\nb".into(), ..laptop() }, KeysError::Name),
        (NewKey { name: "ä".repeat(201), ..laptop() }, KeysError::Name),
        (NewKey { models: vec![], ..laptop() }, KeysError::Models),
        (NewKey { models: vec![any; 1001], ..laptop() }, KeysError::Models),
        (NewKey { owner: owner(1001), ..laptop() }, KeysError::Groups),
        (NewKey { expires_at: Some(now()), ..laptop() }, KeysError::Expiry),
        (NewKey { concurrency: Some(0), ..laptop() }, KeysError::Concurrency),
    ] {
        assert_eq!(refusal(new), expected);
    }
    with(NewKey { name: "ä".repeat(200), ..laptop() });
}

#[test]
fn the_store_has_a_limit() {
    let (keys, _) = with(laptop());
    let mut full = Keys(vec![keys.0[0].clone(); KEYS_MAX]);
    let refused = full.create(laptop(), &minted(), now()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the store is full: it holds at most 100000 keys, including revoked ones"
    );
}

#[test]
fn the_same_randomness_twice_makes_no_second_key() {
    let (mut keys, minted) = (Keys::default(), minted());
    let id = keys.create(laptop(), &minted, now()).unwrap().id;
    assert_eq!(keys.create(laptop(), &minted, now()), Err(KeysError::IdTaken(id)));
}

#[test]
fn the_client_id_says_whose_key_it_is_in_characters_that_a_header_may_hold() {
    for (owner, begins) in [
        ("laptop", "laptop-"),
        ("Jörg Müller", "J-rg-M-ller-"),
        ("a@b.example", "a-b.example-"),
        ("日本", "key-"),
    ] {
        let owner = Owner { name: owner.into(), groups: vec![] };
        let (keys, id) = with(NewKey { owner, ..laptop() });
        assert_eq!(keys.list()[0].client_id, format!("{begins}{id}"));
    }
    let owner = Owner { name: "x".repeat(200), groups: vec![] };
    let (keys, _) = with(NewKey { owner, ..laptop() });
    assert_eq!(keys.list()[0].client_id.len(), KeyRecord::CLIENT_ID_BYTES_MAX);
}

#[test]
fn the_proxy_gets_all_keys_but_the_revoked_ones() {
    let (mut keys, revoked) = with(laptop());
    let suspended = keys.create(laptop(), &minted(), now()).unwrap().id;
    keys.revoke(revoked, now()).unwrap();
    keys.suspend(suspended).unwrap();
    let sent: Vec<_> = keys.documents().iter().map(|key| (key.id, key.suspended)).collect();
    assert_eq!(sent, [(suspended, true)]);
}

#[test]
fn a_revoked_key_stays_revoked_since_the_first_time() {
    let (mut keys, id) = with(laptop());
    keys.revoke(id, now()).unwrap();
    let again = keys.revoke(id, at("2031-01-01T00:00:00Z")).unwrap();
    assert_eq!(again.revoked_at, Some(now()));
    assert_eq!(keys.resume(id), Err(KeysError::Revoked(id)));
    assert_eq!(keys.rotate(id, DAY, &minted(), now()), Err(KeysError::Revoked(id)));
}

#[test]
fn a_key_that_is_not_there_is_named() {
    let id = KeyId::parse("abcdefgh2345").unwrap();
    let refused = Keys::default().revoke(id, now()).unwrap_err();
    assert_eq!(refused.to_string(), "there is no key abcdefgh2345");
}

#[test]
fn a_rotated_key_overlaps_with_the_one_that_replaces_it() {
    let (mut keys, old) = with(laptop());
    let new = keys.rotate(old, DAY, &minted(), now()).unwrap();
    assert_eq!((new.replaces, new.expires_at, new.name.as_str()), (Some(old), None, "laptop"));
    assert_eq!(keys.list()[0].state(now()), StoredKeyState::Active);
    assert_eq!(keys.list()[0].state(at("2030-01-02T00:00:00Z")), StoredKeyState::Expired);
}

#[test]
fn a_rotation_never_prolongs_the_old_key_and_gives_the_new_one_its_lifetime() {
    let end = at("2030-01-11T00:00:00Z");
    let (mut keys, old) = with(NewKey { expires_at: Some(end), ..laptop() });
    let rotated_at = at("2030-01-10T12:00:00Z");
    let new = keys.rotate(old, DAY, &minted(), rotated_at).unwrap();
    assert_eq!(keys.list()[0].expires_at, Some(end));
    assert_eq!(new.expires_at, Some(at("2030-01-20T12:00:00Z")));
}

#[test]
fn a_key_is_rotated_only_once_it_is_valid() {
    let start = at("2030-01-02T00:00:00Z");
    let (mut keys, id) = with(NewKey { not_before: Some(start), ..laptop() });
    assert_eq!(keys.rotate(id, DAY, &minted(), now()), Err(KeysError::NotYetValid(id)));
    let new = keys.rotate(id, DAY, &minted(), start).unwrap();
    assert_eq!(new.not_before, None);
}

#[test]
fn what_cannot_be_rotated_says_why() {
    let (mut keys, id) = with(NewKey { expires_at: Some(at("2030-01-02T00:00:00Z")), ..laptop() });
    let late = at("2030-01-03T00:00:00Z");
    assert_eq!(keys.rotate(id, DAY, &minted(), late), Err(KeysError::Expired(id)));
    assert_eq!(keys.rotate(id, DAY * 91, &minted(), now()), Err(KeysError::Overlap));
    assert_eq!(keys.rotate(id, Duration::MAX, &minted(), now()), Err(KeysError::Overlap));
    keys.suspend(id).unwrap();
    assert_eq!(keys.rotate(id, DAY, &minted(), now()), Err(KeysError::Suspended(id)));
    keys.resume(id).unwrap();
    let by = keys.rotate(id, DAY, &minted(), now()).unwrap().id;
    assert_eq!(keys.rotate(id, DAY, &minted(), now()), Err(KeysError::Replaced { id, by }));
}

#[test]
fn a_state_says_the_strongest_reason() {
    let start = at("2030-01-02T00:00:00Z");
    let (mut keys, id) = with(NewKey { not_before: Some(start), ..laptop() });
    assert_eq!(keys.list()[0].state(now()), StoredKeyState::NotYetValid);
    assert_eq!(keys.suspend(id).unwrap().state(now()), StoredKeyState::Suspended);
    assert_eq!(keys.revoke(id, now()).unwrap().state(now()), StoredKeyState::Revoked);
}

#[test]
fn a_document_of_another_version_is_refused_before_its_fields_are_read() {
    let refused = Keys::parse(br#"{"version": 2, "tenants": []}"#).unwrap_err();
    assert_eq!(refused.to_string(), "`version` is 2; this program reads version 1");
}

#[test]
fn a_document_with_a_bad_key_names_it() {
    let (mut keys, id) = with(laptop());
    keys.0[0].client_id = "a b".into();
    let refused = Keys::parse(&keys.to_json().unwrap()).unwrap_err();
    assert!(Chain(&refused).to_string().starts_with(&format!("key {id}: `clientId` must")));
    keys.0[0].client_id = "a".into();
    let twice = Keys(vec![keys.0[0].clone(), keys.0[0].clone()]).to_json().unwrap();
    assert_eq!(Keys::parse(&twice).unwrap_err().to_string(), format!("key {id} occurs twice"));
}
