//! `keys`, beside a gateway that runs.

use crate::support::{
    ATTEMPTS, CONFIG, Gateway, Home, PATIENCE, assert_in_force_within_a_second, client, config, id,
    sim,
};
use futures::future::join_all;
use llm_proxy::clock;
use serde_json::{Value, json};
use std::{array, sync::Arc, time::Duration};
use tokio::task::spawn_blocking;

const DATA: [&str; 2] = ["--data-dir", "data"];

async fn started() -> (llm_sim::Sim, Home, Gateway) {
    let sim = sim(&["a", "b"]).await;
    let home = Home::new();
    home.write(CONFIG, &config("a", &sim.url()));
    let gateway = home.serve();
    (sim, home, gateway)
}

fn all() -> Result<Vec<String>, u16> {
    Ok(vec!["a".to_owned()])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_alone_on_standard_output_and_works_within_a_second() {
    let (_sim, home, gateway) = started().await;
    let mut took = Vec::new();
    for _ in 0..ATTEMPTS {
        let ran = home.run(&["keys", "create", "--name", "laptop"]);
        let key = ran.out.strip_suffix('\n').unwrap();
        assert!(llm_contract::SecretKey::parse(key).is_ok(), "{}", ran.out);
        assert!(!ran.err.contains(key), "{}", ran.err);
        took.push(gateway.until_models(key, &all()).await);
    }
    assert_in_force_within_a_second("a new key", &took);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_says_where_the_keys_are() {
    let sim = sim(&["a"]).await;
    let home = Home::new();
    home.write(CONFIG, &format!("dataDir: kept\n{}", config("a", &sim.url())));
    let gateway = home.serve();
    for args in [&["--config", CONFIG][..], &[]] {
        let key = home.create_key(args);
        gateway.until_models(&key, &all()).await;
    }
    home.write(CONFIG, "dataDir: kept\nmodels: [{idd: half-written}]\n");
    assert_eq!(home.ask(&["keys", "list"]).matches("test").count(), 2);
    let usage = home.run(&["usage"]);
    assert_eq!((usage.code, home.names()), (0, vec![CONFIG.to_owned(), "kept".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_refused_within_a_second_of_its_suspension_and_again_at_its_end() {
    let (_sim, home, gateway) = started().await;
    let keys: [_; ATTEMPTS] = array::from_fn(|_| home.create_key(&[]));
    for key in &keys {
        gateway.until_models(key, &all()).await;
    }
    for (verb, then) in [("suspend", Err(401)), ("resume", all()), ("revoke", Err(401))] {
        let mut took = Vec::new();
        for key in &keys {
            let ran = home.run(&["keys", verb, &id(key)]);
            assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
            took.push(gateway.until_models(key, &then).await);
        }
        assert_in_force_within_a_second(verb, &took);
    }
    let [key, ..] = keys;
    let ran = home.run(&["keys", "resume", &id(&key)]);
    assert_eq!(ran.code, 64);
    assert!(ran.err.contains("is revoked; create a new one"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_stays_valid_for_the_overlap_and_no_longer() {
    let (_sim, home, gateway) = started().await;
    let old = home.create_key(&[]);
    let new = home.ask(&["keys", "rotate", &id(&old), "--overlap", "8s"]).trim_end().to_owned();
    gateway.until_models(&new, &all()).await;
    assert_eq!(gateway.models(&old).await, all());
    gateway.until_models(&old, &Err(401)).await;
    assert_eq!(gateway.models(&new).await, all());
    let at_once = home.ask(&["keys", "rotate", &id(&new), "--overlap", "0s"]);
    gateway.until_models(&new, &Err(401)).await;
    gateway.until_models(at_once.trim_end(), &all()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_expires_by_itself() {
    let (_sim, home, gateway) = started().await;
    let key = home.create_key(&["--expires", "8s"]);
    gateway.until_models(&key, &all()).await;
    gateway.until_models(&key, &Err(401)).await;
    assert!(home.ask(&["keys", "list"]).contains("expired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_asks_only_for_the_models_it_is_for() {
    let (_sim, home, gateway) = started().await;
    let key = home.create_key(&["--models", "b,c/*"]);
    gateway.until_models(&key, &Ok(vec![])).await;
    assert_eq!(gateway.chat(&key, "a").await.0, 403);
}

/// Uses a key without pause until it is refused, and says how long that took. It stays refused.
async fn until_refused(gateway: &Gateway, key: &str) -> Duration {
    let client = client();
    let begun = clock::now();
    loop {
        let answer = gateway.models_by(&client, key).await;
        let took = clock::now().duration_since(begun);
        assert!(took < PATIENCE, "{answer:?}");
        if answer == Err(401) {
            for _ in 0..5 {
                assert_eq!(gateway.models_by(&client, key).await, Err(401));
            }
            return took;
        }
        assert_eq!(answer, all());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_revocations_under_load_are_in_force_within_a_second() {
    const LANES: usize = 5;
    const EACH: usize = 10;
    let (_sim, home, gateway) = started().await;
    let home = Arc::new(home);
    let keys: Vec<_> = (0..LANES * EACH).map(|_| home.create_key(&[])).collect();
    for key in &keys {
        gateway.until_models(key, &all()).await;
    }
    let lanes = keys.chunks(EACH).map(async |keys| {
        let mut took = Vec::new();
        for key in keys {
            // On a thread of its own: the other lanes would wait for it, and their time would run.
            let (home, id) = (Arc::clone(&home), id(key));
            let revoke = spawn_blocking(move || home.run(&["keys", "revoke", &id]).code);
            assert_eq!(revoke.await.unwrap(), 0);
            took.push(until_refused(&gateway, key).await);
        }
        took
    });
    let mut took = join_all(lanes).await.concat();
    took.sort();
    assert_in_force_within_a_second("half of them", &took[took.len() / 2..]);
    assert_eq!(home.ask(&["keys", "list"]).matches("revoked").count(), LANES * EACH);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_holds_neither_a_key_nor_its_hash() {
    let home = Home::new();
    let key = home.create_key(&["--user", "alice", "--groups", "ml", "--expires", "30d"]);
    let table = home.ask(&["keys", "list"]);
    let json = home.ask(&["keys", "list", "--json"]);
    let stored: Value = serde_json::from_str(&home.read("data/keys.json")).unwrap();
    let hash = stored["keys"][0]["hash"].as_str().unwrap();
    let secret = key.rsplit('-').next().unwrap();
    for text in [&table, &json] {
        assert!(text.contains(&id(&key)), "{text}");
        assert!(!text.contains(secret) && !text.contains(hash) && !text.contains("argon2"));
    }
    let listed: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(listed[0]["owner"], json!({ "name": "alice", "groups": ["ml"] }));
}

#[test]
fn a_data_folder_that_is_not_there_is_named_and_not_made() {
    let home = Home::new();
    for args in [&["list"][..], &["revoke", "abcdefgh2345"]] {
        let ran = home.run(&[&["keys"], args, &DATA].concat());
        assert_eq!((ran.code, ran.out.as_str()), (69, ""));
        assert_eq!(
            ran.err,
            "llm-gateway: there is no data folder data; choose the gateway's with --data-dir or \
             --config\n"
        );
    }
    assert!(home.names().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_ten_thousand_keys_starts_and_revokes() {
    const KEYS: usize = 10_000;
    let home = Home::new();
    let key = home.create_key(&[]);
    let mut stored: Value = serde_json::from_str(&home.read("data/keys.json")).unwrap();
    let list = stored["keys"].as_array_mut().unwrap();
    let one = list[0].clone();
    list.extend((0..KEYS).map(|number| {
        let id = base32(number);
        let mut key = one.clone();
        key["clientId"] = json!(format!("client-{id}"));
        key["id"] = json!(id);
        key
    }));
    home.write("data/keys.json", &stored.to_string());
    let sim = sim(&["a"]).await;
    home.write(CONFIG, &config("a", &sim.url()));
    let gateway = home.serve();
    assert_eq!(gateway.chat(&key, "a").await.0, 200);
    home.ask(&["keys", "revoke", &id(&key)]);
    gateway.until_models(&key, &Err(401)).await;
}

/// A number as a key id.
fn base32(mut number: usize) -> String {
    let alphabet = llm_contract::KeyId::ALPHABET;
    let digits = (0..llm_contract::KeyId::BYTES).map(|_| {
        let digit = alphabet[number % alphabet.len()];
        number /= alphabet.len();
        char::from(digit)
    });
    digits.collect()
}
