//! `llm-keys`, by a person who may do everything.

use crate::support::{Place, id, secret};
use kube::api::{Patch, PatchParams};
use llm_contract::{KeyHash, SecretKey};
use serde_json::{Value, json};

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test]
async fn a_new_key_stands_alone_on_standard_output_and_matches_what_is_stored() {
    let place = Place::new().await;
    let ran = place.run(&["create", "--name", "laptop", "--team", "ml", "--models", "a/*,b/c"]);
    let key = SecretKey::parse(ran.out.strip_suffix('\n').unwrap()).unwrap();
    let id = key.id();
    assert_eq!(
        ran.err,
        format!("key {id} (laptop), models a/*, b/c, expires never; it is shown only once:\n")
    );
    let stored = place.resource(id.as_str()).await;
    assert!(KeyHash::parse(&stored.spec.hash).unwrap().matches(&key, None));
    assert_eq!(stored.status.unwrap().owner_groups, ["ml"]);
}

#[tokio::test]
async fn an_owner_may_be_a_person_with_groups() {
    let place = Place::new().await;
    let person = ["--owner", "ada", "--issuer", "https://sso.example.org", "--subject", "4f1c"];
    let rest = ["create", "--name", "x", "--models", "*", "--groups", "a,b", "--concurrency", "2"];
    let key = place.ask(&[&rest[..], &person].concat());
    let stored = place.resource(&id(key.trim_end())).await;
    assert_eq!(stored.spec.owner.username.as_deref(), Some("ada"));
    assert_eq!(stored.spec.limits.unwrap().concurrency, Some(2));
    assert_eq!(stored.status.unwrap().owner_groups, ["a", "b"]);
}

#[tokio::test]
async fn a_list_shows_each_key_and_neither_it_nor_its_hash() {
    let place = Place::new().await;
    let key = place.create_key(&[]);
    let (id, secret) = (id(&key), secret(&key));
    let table = place.ask(&["list"]);
    let row = words(table.lines().nth(1).unwrap());
    assert_eq!(row[..5], [&id, "laptop", "ml", "models/qwen3", "active"]);
    assert_eq!(row[6..], ["never", "-"]);
    let json = place.ask(&["list", "--json"]);
    let listed: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(listed[0]["clientId"], format!("ml-{id}"));
    assert_eq!(listed[0]["owner"], json!({ "team": "ml" }));
    let shown = place.ask(&["show", &id]);
    for text in [&table, &json, &shown, &place.ask(&["show", &id, "--json"])] {
        assert!(text.contains(&id), "{text}");
        assert!(!text.contains(secret) && !text.contains("argon2"), "{text}");
    }
}

#[tokio::test]
async fn a_list_says_what_the_operator_says() {
    let place = Place::new().await;
    let id = id(&place.create_key(&[]));
    let condition = json!({
        "type": "Active", "status": "False", "reason": "NoModelLeft", "message": "all gone",
        "lastTransitionTime": "2030-01-01T00:00:00Z", "observedGeneration": 1,
    });
    let used = "2020-01-01T00:00:00Z";
    let status = json!({ "status": { "conditions": [condition], "lastUsedAt": used } });
    let patch = Patch::Merge(status);
    place.resources().patch_status(&id, &PatchParams::default(), &patch).await.unwrap();
    let table = place.ask(&["list"]);
    assert!(table.contains("refused: NoModelLeft") && table.contains("d ago"), "{table}");
    let shown = place.ask(&["show", &id]);
    assert!(shown.contains("all gone") && shown.contains("2020-01-01 00:00"), "{shown}");
    let listed: Value = serde_json::from_str(&place.ask(&["list", "--json"])).unwrap();
    assert_eq!(listed[0]["verdict"]["reason"], "NoModelLeft");
}

#[tokio::test]
async fn an_empty_list_says_where_it_looked() {
    let place = Place::new().await;
    let ran = place.run(&["list"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    assert_eq!(ran.err, format!("no keys in namespace {}\n", place.namespace));
    assert_eq!(place.ask(&["list", "--json"]), "[]\n");
}

#[tokio::test]
async fn a_key_is_rotated_suspended_resumed_and_revoked_by_its_id() {
    let place = Place::new().await;
    let old = id(&place.create_key(&["--expires", "30d"]));
    let ran = place.run(&["rotate", &old, "--overlap", "0s"]);
    assert!(ran.err.starts_with(&format!("key {old} stays valid for 0s")), "{}", ran.err);
    let new = id(ran.out.strip_suffix('\n').unwrap());
    assert!(
        place.ask(&["list"]).lines().any(|line| line.contains(&old) && line.contains("expired"))
    );
    for (verb, state) in [("suspend", "suspended"), ("resume", "active"), ("revoke", "revoked")] {
        let ran = place.run(&[verb, &new]);
        assert_eq!((ran.code, ran.out.as_str()), (0, ""));
        assert_eq!(ran.err, format!("key {new} (laptop) is {state}\n"));
    }
    let ran = place.run(&["revoke", &new]);
    assert_eq!((ran.code, ran.err), (64, format!("llm-keys: there is no key {new}\n")));
}

#[tokio::test]
async fn what_the_schema_refuses_exits_with_65() {
    let place = Place::new().await;
    let account = ["--service-account", "apps-/chat", "--models", "*"];
    let ran = place.run(&[&["create", "--name", "x"], &account[..]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (65, ""));
    assert!(ran.err.contains("<namespace>/<name> of a service account"), "{}", ran.err);
}
