use super::*;
use crate::{
    app::settings::WatchScope,
    edge::settings::{Exposure, ListenerOwner},
};
use clap::Parser;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    options: Options,
}

const NEEDED: [&str; 5] = [
    "--base-domain=example.org",
    "--namespace=llm",
    "--external-gateway-name=nebari-gateway",
    "--internal-gateway-name=nebari-gateway",
    "--oidc-issuer-url=https://sso.example.org/realms/main",
];

fn check(more: &[&str]) -> Result<Config, InvalidConfig> {
    let words = ["llm-operator"].iter().chain(&NEEDED).chain(more);
    Command::try_parse_from(words).unwrap().options.check("host-1")
}

#[test]
fn all_missing_variables_are_named_at_once() {
    let nothing = Command::try_parse_from(["llm-operator", "--base-domain="]).unwrap();
    assert_eq!(
        nothing.options.check("h").unwrap_err().to_string(),
        "not set: LLM_BASE_DOMAIN, POD_NAMESPACE, LLM_EXTERNAL_GATEWAY_NAME, \
         LLM_INTERNAL_GATEWAY_NAME, LLM_OIDC_ISSUER_URL"
    );
}

#[test]
fn the_operator_watches_its_own_namespace_unless_others_are_given() {
    let scope = |more: &[&str]| check(more).unwrap().settings.scope;
    let names =
        |names: &[&str]| WatchScope::Namespaces(names.iter().map(|it| (*it).to_owned()).collect());
    assert_eq!(scope(&[]), names(&["llm"]));
    assert_eq!(scope(&["--watch-namespaces="]), names(&["llm"]));
    assert_eq!(scope(&["--watch-namespaces=a,b"]), names(&["a", "b"]));
    assert_eq!(scope(&["--watch-namespaces=*"]), WatchScope::Labelled);
}

#[test]
fn the_serving_certificate_has_the_dns_names_of_the_service_unless_others_are_given() {
    let names = |more: &[&str]| check(more).unwrap().push.names;
    let service = ["llm-operator", "llm-operator.llm.svc"];
    assert!(service.iter().all(|name| names(&[]).iter().any(|it| it == name)), "{:?}", names(&[]));
    assert_eq!(names(&["--push-names="]), names(&[]));
    assert_eq!(names(&["--push-names=a,,b"]), ["a", "b"]);
}

#[test]
fn without_an_audience_no_token_is_accepted() {
    assert_eq!(check(&[]).unwrap().issuers.len(), 0);
    let issuers = check(&["--oidc-audience=llm"]).unwrap().issuers;
    assert_eq!(issuers[0].audiences, ["llm"]);
}

#[test]
fn an_issuer_without_tls_is_rejected_with_the_name_of_the_variable() {
    let more = ["--oidc-audience=llm", "--oidc-issuer-url=http://sso.example.org"];
    let words = ["llm-operator"].iter().chain(&NEEDED[..4]).chain(&more);
    let options = Command::try_parse_from(words).unwrap().options;
    let error = options.check("h").unwrap_err();
    assert_eq!(error.to_string(), r#"LLM_OIDC_ISSUER_URL "http://sso.example.org""#);
}

#[test]
fn gateways_are_needed_only_behind_gateways() {
    let words = ["llm-operator", NEEDED[0], NEEDED[1], NEEDED[4], "--exposure-mode=loadBalancer"];
    assert!(Command::try_parse_from(words).unwrap().options.check("h").is_ok());
}

#[test]
fn the_identity_is_the_host_name_unless_it_is_given() {
    assert_eq!(check(&[]).unwrap().identity, "host-1");
    assert_eq!(check(&["--identity=pod-1"]).unwrap().identity, "pod-1");
}

#[test]
fn the_base_domain_is_a_dns_name() {
    let domain = |given: &str| {
        let base = format!("--base-domain={given}");
        let words = ["llm-operator", &base].into_iter().chain(NEEDED[1..].iter().copied());
        let checked = Command::try_parse_from(words).unwrap().options.check("h");
        checked.map(|config| config.settings.urls.external.unwrap()).map_err(|it| it.to_string())
    };
    assert_eq!(domain("Example.org.").unwrap(), "https://llm.example.org");
    for given in ["https://example.org", "example.org/", "example.org:443", "a b", "..", "*.org"] {
        let error = domain(given).unwrap_err();
        assert!(
            error.starts_with(&format!("LLM_BASE_DOMAIN {given:?} is not a domain")),
            "{error}"
        );
    }
}

#[test]
fn an_unknown_word_for_managing_listeners_is_rejected() {
    let listeners = |word: &str| {
        let switch = format!("--manage-shared-listeners={word}");
        let words = ["llm-operator"].iter().chain(&NEEDED).copied().chain([switch.as_str()]);
        let options = Command::try_parse_from(words).map_err(|it| it.to_string())?.options;
        match options.check("h").unwrap().edge.exposure() {
            Exposure::Gateways(gateways) => Ok(gateways.listeners),
            Exposure::Direct => Err(String::new()),
        }
    };
    for word in ["", "TRUE", "yes", "1", "on"] {
        assert_eq!(listeners(word), Ok(ListenerOwner::Operator), "{word}");
    }
    for word in ["False", "no", "0", "off"] {
        assert_eq!(listeners(word), Ok(ListenerOwner::Administrator), "{word}");
    }
    let error = listeners("flase").unwrap_err();
    assert!(error.contains("'flase'") && error.contains("use true or false"), "{error}");
}
