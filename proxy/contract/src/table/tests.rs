use super::*;
use crate::{Access, Hashing, KeyHash, SecretKey};
use std::{error::Error as _, time::Duration};

fn refusal(text: &str) -> String {
    Chain(&Table::parse(text.as_bytes()).unwrap_err()).to_string()
}

fn route(fields: &str) -> String {
    format!(r#"{{"version": 1, "routes": [{{{fields}}}]}}"#)
}

const SERVED: &str = r#""upstream": {"served": {"endpoints": ["http://10.0.0.5:8000"]}}"#;

#[test]
fn a_table_of_another_version_is_rejected() {
    assert_eq!(refusal(r#"{"version": 2}"#), "`version` is 2; this proxy reads version 1");
}

#[test]
fn an_unknown_field_is_an_error() {
    assert!(refusal(r#"{"version": 1, "rotues": []}"#).contains("unknown field `rotues`"));
}

#[test]
fn a_route_must_say_who_may_use_it() {
    for (access, wrong) in [("{}", "say who may use it"), (r#"{"groups":[]}"#, "say who")] {
        let text = route(&format!(r#""model": "m", "access": {access}, {SERVED}"#));
        let refusal = refusal(&text);
        assert!(refusal.starts_with(r#"route "m": `access`"#), "{refusal}");
        assert!(refusal.contains(wrong), "{refusal}");
    }
}

#[test]
fn an_endpoint_is_an_address_without_path_or_password() {
    for url in ["ftp://h", "http://u:p@h", "http://h/v1", "h:8000", "http://h?x", ""] {
        let upstream = format!(r#""upstream": {{"served": {{"endpoints": ["{url}"]}}}}"#);
        let text = route(&format!(r#""model": "m", "access": {{"public": true}}, {upstream}"#));
        assert!(refusal(&text).contains("`endpoints[0]`"), "{url}: {}", refusal(&text));
    }
}

#[test]
fn a_provider_that_is_not_declared_is_named() {
    let upstream = r#""upstream": {"provider": {"name": "openai"}}"#;
    let text = route(&format!(r#""model": "m", "access": {{"public": true}}, {upstream}"#));
    assert!(refusal(&text).contains(r#"`provider` "openai" is not declared"#));
}

#[test]
fn a_provider_cannot_set_headers_that_the_gateway_writes() {
    let table = |headers: &str| {
        format!(
            r#"{{"version": 1, "providers": [
                {{"name": "p", "url": "https://h", "headers": [{headers}]}}]}}"#
        )
    };
    assert!(Table::parse(table(r#"{"name": "X-Team", "value": "sk"}"#).as_bytes()).is_ok());
    let team = r#"{"name": "x-team", "value": "sk"}"#;
    for (headers, wrong) in [
        (r#"{"name": "Host", "value": "h"}"#, r#""Host" cannot be set"#),
        (r#"{"name": "authorization", "value": "h"}"#, r#""authorization" cannot be set"#),
        (r#"{"name": "X-Client-ID", "value": "h"}"#, r#""X-Client-ID" cannot be set"#),
        (r#"{"name": "transfer-encoding", "value": "h"}"#, "cannot be set"),
        (r#"{"name": "a b", "value": "h"}"#, r#""a b" cannot be set"#),
        (r#"{"name": "x-team", "value": "canary\n"}"#, "the value of"),
        (&format!("{team}, {team}"), r#""x-team" is listed twice"#),
        (&vec![team; 17].join(","), "`headers` has more than 16 entries"),
    ] {
        let refusal = refusal(&table(headers));
        assert!(refusal.contains(wrong) && !refusal.contains("canary"), "{headers}: {refusal}");
    }
}

#[test]
fn a_catch_all_leads_to_a_provider_only() {
    let text = route(&format!(r#""access": {{"public": true}}, {SERVED}"#));
    assert!(refusal(&text).contains("a catch-all route must lead to a provider"));
}

#[test]
fn a_model_served_twice_is_rejected_but_a_provider_may_share_its_id() {
    let served = format!(r#"{{"model": "m", "access": {{"public": true}}, {SERVED}}}"#);
    let provider = r#"{"model": "m", "access": {"public": true},
        "upstream": {"provider": {"name": "p"}}}"#;
    let table = |routes: &[&str]| {
        let routes = routes.join(",");
        format!(
            r#"{{"version": 1, "providers": [{{"name": "p", "url": "https://h/v1"}}],
                "routes": [{routes}]}}"#
        )
    };
    assert!(Table::parse(table(&[&served, provider]).as_bytes()).is_ok());
    assert_eq!(refusal(&table(&[&served, &served])), r#"model "m" is declared twice"#);
}

#[test]
fn an_issuer_without_https_is_rejected_unless_on_loopback() {
    for (url, fine) in [
        ("https://sso.example.org/realms/main", true),
        ("http://127.0.0.1:9000", true),
        ("http://localhost:9000", true),
        ("http://sso.example.org", false),
        ("http://localhost.example.org", false),
    ] {
        let text = format!(
            r#"{{"version": 1, "issuers": [{{"issuer": "{url}", "audiences": ["llm"]}}]}}"#
        );
        assert_eq!(Table::parse(text.as_bytes()).is_ok(), fine, "{url}");
    }
}

#[test]
fn an_error_never_holds_a_credential() {
    let text = r#"{"version": 1, "providers": [
        {"name": "p", "url": "https://h", "credential": {"secret": "sk-canary\n"}}],
        "routes": 1}"#;
    let error = Table::parse(text.as_bytes()).unwrap_err();
    assert!(!format!("{error:?} {error} {:?}", error.source()).contains("canary"));
}

#[test]
fn ten_thousand_models_and_a_hundred_thousand_keys_parse_well_within_a_second() {
    use std::fmt::Write;
    let id = KeyId::parse("aaaaaaaaaaaa").unwrap();
    let hash = KeyHash::of(&SecretKey::assemble(&id, &[b'x'; 43]), Hashing::MINTED, [7; 16], None);
    let hash = hash.unwrap();
    let mut text = r#"{"version": 1, "keys": ["#.to_owned();
    for key in 0..100_000u32 {
        let id: String = (0..12u32)
            .map(|place| char::from(KeyId::ALPHABET[(key >> (5 * place.min(6))) as usize & 31]))
            .collect();
        let comma = if key == 0 { "" } else { "," };
        write!(
            text,
            r#"{comma}{{"id": "{id}", "clientId": "laptop-{key}", "hash": "{hash}",
                "owner": {{"name": "alice", "groups": ["ml-team"]}}, "models": ["*"],
                "expiresAt": "2030-01-01T00:00:00Z"}}"#
        )
        .unwrap();
    }
    text.push_str(r#"], "routes": ["#);
    for model in 0..10_000 {
        let comma = if model == 0 { "" } else { "," };
        write!(text, r#"{comma}{{"model": "m-{model}", "access": {{"public": true}}, {SERVED}}}"#)
            .unwrap();
    }
    text.push_str("]}");
    #[expect(clippy::disallowed_methods, reason = "the claim is about time")]
    let start = std::time::Instant::now();
    let table = Table::parse(text.as_bytes()).unwrap();
    let elapsed = start.elapsed();
    assert_eq!((table.routes.len(), table.keys.len()), (10_000, 100_000));
    assert_eq!(table.routes[0].access, Access::Public);
    // A debug build on a busy machine; a release build takes a tenth of it.
    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
}
