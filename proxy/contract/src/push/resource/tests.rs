use super::*;
use crate::Chain;

const PROVIDER: &str = r#"{"provider": {"name": "openai", "url": "https://api.example/v1",
    "credential": {"secret": "sk-upstream"}, "headers": [{"name": "x-team", "value": "sk-team"}]},
    "routes": [{"model": "fast", "access": {"public": true},
        "upstream": {"provider": {"name": "openai", "model": "gpt-nano"}}}]}"#;

fn refusal(kind: Kind, name: &str, document: &str) -> String {
    let refused = Resource::parse(&Name::new(kind, name), document.as_bytes()).unwrap_err();
    Chain(&refused).to_string()
}

#[test]
fn routes_include_their_provider_and_name_their_resource() {
    let name = Name::new(Kind::Routes, "models/openai");
    let Resource::Routes(routes) = Resource::parse(&name, PROVIDER.as_bytes()).unwrap() else {
        panic!("routes expected");
    };
    assert_eq!(routes[0].resource, Some(ResourceName::parse("models/openai").unwrap()));
    let shown = redacted(PROVIDER.as_bytes()).to_string();
    assert!(!shown.contains("sk-") && shown.contains("x-team"), "{shown}");
}

#[test]
fn a_document_round_trips_through_json() {
    let routes: document::Routes = serde_json::from_str(PROVIDER).unwrap();
    let text = serde_json::to_vec(&routes).unwrap();
    let name = Name::new(Kind::Routes, "models/openai");
    assert_eq!(
        Resource::parse(&name, &text).unwrap(),
        Resource::parse(&name, PROVIDER.as_bytes()).unwrap()
    );
}

#[test]
fn an_error_names_the_part_and_the_field() {
    let undeclared = r#"{"routes": [{"model": "m", "access": {"public": true},
        "upstream": {"provider": {"name": "p"}}}]}"#;
    assert_eq!(
        refusal(Kind::Routes, "a/b", undeclared),
        r#"route "m": `provider` "p" is not declared"#
    );
    assert!(refusal(Kind::Routes, "b", PROVIDER).starts_with("name: "));
    assert!(refusal(Kind::Settings, "", r#"{"cors": []}"#).contains("unknown field `cors`"));
}

#[test]
fn a_key_under_the_name_of_another_is_rejected() {
    let key =
        crate::SecretKey::assemble(&crate::KeyId::parse("abcdefgh2345").unwrap(), &[b'x'; 43]);
    let hash = crate::KeyHash::of(&key, crate::Hashing::MINTED, [7; 16], None).unwrap();
    let document = format!(
        r#"{{"id": "abcdefgh2345", "clientId": "c", "owner": {{"name": "me"}}, "hash": "{hash}",
            "resources": ["models/qwen3"]}}"#
    );
    assert!(Resource::parse(&Name::new(Kind::Key, "abcdefgh2345"), document.as_bytes()).is_ok());
    assert_eq!(refusal(Kind::Key, "abcdefgh2346", &document), "it holds key abcdefgh2345");
    assert!(!redacted(document.as_bytes()).to_string().contains("argon2id"));
}

#[test]
fn an_error_never_repeats_a_value() {
    for (document, said) in [
        (
            r#"{"provider": {"name": "p", "url": "h", "credential": "sk-canary"}, "routes": []}"#,
            "credential",
        ),
        (r#"{"provider": "sk-canary, expected", "routes": []}"#, "struct Provider"),
        (r#"{"routes": [{"model": "m", "access": {}, "upstream": {"sk-canary": 1}}]}"#, "`served`"),
        (r#"{"routes": ["sk-canary"]}"#, "struct Route"),
    ] {
        let refusal = refusal(Kind::Routes, "a/b", document);
        assert!(!refusal.contains("canary"), "{refusal}");
        assert!(refusal.to_lowercase().contains(&said.to_lowercase()), "{refusal}");
    }
}
