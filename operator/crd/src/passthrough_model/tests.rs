use super::*;
use llm_contract::{Timeouts, document};
use std::time::Duration;

fn provider(yaml: &str) -> Provider {
    serde_saphyr::from_str(&format!("{{{yaml}}}")).unwrap()
}

#[test]
fn the_base_url_has_what_comes_in_place_of_v1() {
    for (yaml, url) in [
        ("hostname: openrouter.ai, schemaVersion: api/v1", "https://openrouter.ai:443/api/v1"),
        ("hostname: API.OpenAI.com., schemaVersion: \"\"", "https://api.openai.com:443/v1"),
        ("hostname: a, port: 0", "https://a:443/v1"),
        ("hostname: a, port: 8000, scheme: http", "http://a:8000/v1"),
        ("hostname: a, schemaVersion: /v2/", "https://a:443/v2"),
    ] {
        assert_eq!(provider(yaml).base_url().as_deref(), Some(url), "{yaml}");
    }
    assert_eq!(provider("credentialSecretName: a").base_url(), None);
}

#[test]
fn waits_that_are_absent_are_those_of_the_gateway() {
    let provider = provider("hostname: a, timeouts: {request: 1h, idle: 0s}");
    let expected = Timeouts {
        request: Duration::from_secs(3600),
        idle: Duration::from_secs(86_400),
        ..Timeouts::PROVIDER
    };
    assert_eq!(provider.timeouts(), expected);
    assert_eq!(Provider::default().timeouts(), Timeouts::PROVIDER);
}

#[test]
fn a_credential_is_an_api_key_in_authorization_unless_it_says_otherwise() {
    assert_eq!(Provider::default().credential_type(), CredentialType::ApiKey);
    assert_eq!(Provider::default().credential_header(), CredentialHeader::Authorization);
    let anthropic = provider("credential: {header: x-api-key}");
    assert_eq!(anthropic.credential_header(), CredentialHeader::XApiKey);
    let cloud = provider("credential: {type: WorkloadIdentity}, backend: {type: Bedrock}");
    assert_eq!(cloud.credential_type(), CredentialType::WorkloadIdentity);
    assert_eq!(cloud.backend_type(), BackendType::Bedrock);
}

#[test]
fn declared_ids_and_aliases_are_both_reached() {
    let spec: PassthroughModelSpec = serde_saphyr::from_str(
        "provider: {hostname: a, credentialSecretName: b}\naccess: {public: true}\n\
         models: {declared: [c], aliases: [{id: d, upstream: e}]}",
    )
    .unwrap();
    assert_eq!(spec.model_ids().collect::<Vec<_>>(), [("c", "c"), ("d", "e")]);
    assert!(!spec.catch_all() && spec.external_enabled() && spec.internal_enabled());
}

#[test]
fn a_header_that_the_schema_reserves_is_the_gateways_own() {
    for name in provider::RESERVED.split(['\'']).filter(|part| part.len() > 2) {
        let text = format!(
            r#"{{"name": "a", "url": "https://a", "headers": [{{"name": "{name}", "value": "b"}}]}}"#
        );
        let provider: document::Provider = serde_json::from_str(&text).unwrap();
        assert!(llm_contract::Provider::try_from(provider).is_err(), "{name}");
    }
}
