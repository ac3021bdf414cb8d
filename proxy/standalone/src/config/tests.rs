use super::*;
use llm_contract::{KeyId, Table, document};
use rcgen::{CertifiedKey, KeyPair};
use std::{fmt::Write as _, sync::LazyLock};

const EXAMPLE: &str = include_str!("../../../../docs/gateway.example.yaml");

/// The errors in a text, one per line.
fn errors(text: &str) -> String {
    let all = Config::parse(text, Path::new("/etc/llm"), &mut read).unwrap_err();
    ConfigErrors { file: "gateway.yaml".into(), all, files: Vec::new() }.to_string()
}

fn good(text: &str) -> Config {
    Config::parse(text, Path::new("/etc/llm"), &mut read).unwrap()
}

/// A certificate and its key from their files, and the name of any other secret.
fn read(secret: &SecretRef) -> Result<Secret, String> {
    static TLS: LazyLock<CertifiedKey<KeyPair>> =
        LazyLock::new(|| rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap());
    Ok(Secret::new(match secret {
        SecretRef::File(path) if path.ends_with("tls.crt") => TLS.cert.pem(),
        SecretRef::File(path) if path.ends_with("tls.key") => TLS.signing_key.serialize_pem(),
        SecretRef::Env(_) | SecretRef::File(_) => secret.to_string(),
    }))
}

/// A good model with these fields too, in a flow of one line.
fn model(fields: &str) -> String {
    format!("models: [{{id: m, endpoints: ['http://h:1'], access: {{public: true}}{fields}}}]")
}

fn provider(fields: &str) -> String {
    format!("providers: [{{name: p, url: 'https://h/v1', access: {{public: true}}{fields}}}]")
}

#[test]
fn the_example_is_parsed_as_it_is_meant() {
    let mut config = good(EXAMPLE);
    assert!(config.tls.take().is_some());
    let api_key = config.models[0].api_key.as_ref().map(Secret::reveal);
    assert_eq!(api_key, Some("the environment variable `VLLM_API_KEY`"));
    let (_, credential) = config.providers[0].credential.as_ref().unwrap();
    assert_eq!(credential.reveal(), "the file /etc/llm/openai.key");
    insta::assert_debug_snapshot!(config);
}

#[test]
fn the_proxy_accepts_the_table_of_the_example() {
    let config = good(EXAMPLE);
    let document = config.table(Vec::new(), 7);
    let models: Vec<_> =
        document.routes.iter().map(|route| route.model.as_ref().unwrap().as_str()).collect();
    assert_eq!(models, ["Qwen/Qwen3-8B", "gpt-5-mini", "fast"]);
    assert_eq!(Table::try_from(document).unwrap().revision, 7);
}

#[test]
fn an_empty_configuration_has_the_defaults_and_has_to_be_explicit() {
    for text in ["# nothing\n{}", "{}"] {
        let config = good(text);
        assert_eq!(config.listen.external.to_string(), "127.0.0.1:8080");
        assert_eq!(config.listen.internal, None);
        assert_eq!(config.listen.admin.to_string(), "127.0.0.1:9090");
        assert_eq!(config.data_dir, Path::new("/etc/llm/data"));
        assert_eq!(config.limits, ListenerLimits::default());
        assert_eq!(config.drain, Duration::from_secs(30));
    }
    for text in ["", "# nothing\n"] {
        let why = "the file is empty; to serve nothing, write `{}`";
        assert!(errors(text).trim_end().ends_with(why), "{}", errors(text));
    }
}

#[test]
fn issuers_open_the_internal_entry() {
    let config = good("issuers: [{issuer: 'https://sso.example.org', audiences: [llm]}]");
    assert_eq!(config.listen.internal.unwrap().to_string(), "127.0.0.1:8081");
}

#[test]
fn invalid_yaml_is_refused_with_its_line() {
    for (text, refusal) in [
        ("models:\n  - id: x\n bad: 1\n", "gateway.yaml:3: "),
        ("models: [\n", "gateway.yaml:1: unclosed bracket '['"),
        ("dataDir: a\n\ndataDir: b\n", "gateway.yaml:3: `dataDir` occurs twice"),
        ("a: *nobody\n", "gateway.yaml:1: alias references unknown anchor"),
        (
            "dataDir: a\n---\ndataDir: b\n",
            "gateway.yaml:2: too large: a configuration is one document",
        ),
    ] {
        assert!(errors(text).starts_with(refusal), "{text}: {}", errors(text));
    }
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        writeln!(text, "a{level}: &a{level} [{}]", [alias.as_str(); 10].join(", ")).unwrap();
    }
    let refusal = errors(&text);
    assert!(refusal.contains("aliases (`*name`) repeat more than 10000 values"), "{refusal}");
}

#[test]
fn a_file_that_is_too_large_or_too_deep_is_refused_by_a_named_limit() {
    assert_eq!(errors(&"#".repeat(10 << 20)), "gateway.yaml: larger than 1048576 bytes");
    let deep = errors(&format!("models: {}{}", "[".repeat(100), "]".repeat(100)));
    assert!(deep.contains("at most 100000 values, 32 levels deep"), "{deep}");
    assert!(!errors(&"[".repeat(500_000)).is_empty());
}

#[test]
fn an_unknown_field_is_refused_with_the_nearest_known_name() {
    for (text, refusal) in [
        ("lisen: {}".to_owned(), "lisen: unknown field; did you mean `listen`?"),
        ("data_dir: x".to_owned(), "data_dir: unknown field; did you mean `dataDir`?"),
        (model(", endpoint: x"), "models[0].endpoint: unknown field; did you mean `endpoints`?"),
        (
            provider(", catchAll: true, credential: {envv: X}"),
            "providers[0].credential.envv: unknown field; did you mean `env`?",
        ),
        (
            "tls: {certificate: a, key: b, zzz: c}".to_owned(),
            "tls.zzz: unknown field; the fields here are certificate, key",
        ),
    ] {
        let said = errors(&text);
        let first = said.lines().next().unwrap();
        assert_eq!(first, format!("gateway.yaml:1: {refusal}"));
    }
}

#[test]
fn a_field_that_is_not_supported_yet_is_not_silently_accepted() {
    for (text, path) in [
        (model(", limits: {requestsPerMinute: 600}"), "models[0].limits.requestsPerMinute"),
        (model(", limits: {tokensPerMinute: 1}"), "models[0].limits.tokensPerMinute"),
        (model(", limits: {queue: {size: 1, timeout: 30s}}"), "models[0].limits.queue"),
        (model(", routing: {policy: prefix}"), "models[0].routing"),
        (model(", pricing: {currency: EUR}"), "models[0].pricing"),
        (
            provider(", catchAll: true, limits: {requestsPerMinute: 1}"),
            "providers[0].limits.requestsPerMinute",
        ),
        (
            provider(", catchAll: true, limits: {tokensPerMinute: 1}"),
            "providers[0].limits.tokensPerMinute",
        ),
        (provider(", catchAll: true, pricing: {currency: EUR}"), "providers[0].pricing"),
        ("keys: {devUser: {name: me}}".to_owned(), "keys.devUser"),
        ("keys: {listen: 127.0.0.1:1}".to_owned(), "keys.listen"),
        ("usage: {database: sqlite}".to_owned(), "usage.database"),
        ("usage: sqlite".to_owned(), "usage"),
    ] {
        let refusal = format!("gateway.yaml:1: {path}: `{path}` is not supported yet; remove it");
        assert_eq!(errors(&text), refusal);
    }
}

#[test]
fn all_errors_are_reported_at_once_in_the_order_of_the_file() {
    let text = "\
listen: {external: localhost, admin: 127.0.0.1:9090}
models:
  - id: a
    endpoints: [http://h:1, http://h:1, http://h/v1]
    access: {}
    colour: red
  - id: b
    aliases: [a]
    endpoints: []
    access: {public: true, groups: [x]}
shutdown: {drain: soon}
";
    insta::assert_snapshot!(errors(text), @r"
    gateway.yaml:1: listen.external: must be an IP address and a port, such as `127.0.0.1:8080`
    gateway.yaml:4: models[0].endpoints[1]: occurs twice
    gateway.yaml:4: models[0].endpoints[2]: must be http(s)://host[:port] without path, password, query or fragment
    gateway.yaml:5: models[0].access: say who may use it: `groups: [..]` or `public: true`
    gateway.yaml:6: models[0].colour: unknown field; the fields here are access, aliases, apiKey, endpoints, id, limits, timeouts
    gateway.yaml:8: models[1].aliases[0]: `a` is already served: models[0].id
    gateway.yaml:9: models[1].endpoints: must have at least one server
    gateway.yaml:10: models[1].access: `groups` and `public: true` exclude each other
    gateway.yaml:11: shutdown.drain: must be a duration such as `30s` or `5m`, at most `24h`
    ");
}

#[test]
fn a_value_of_the_wrong_type_is_refused_in_plain_words() {
    let text = "\
listen:
tls: {certificate: 7}
dataDir: true
models:
  - id: [a]
    endpoints: http://h:1
    apiKey: sk-secret
  - 7
providers:
  - {name: p, url: x, access: {public: yes}, catchAll: 1, credential: {env: X, header: cookie}}
  - {name: p, url: x, access: everyone, models: [{}, 3], timeouts: {connect: 5}}
limits: {bodyBytes: 10, connections: 1.5, headerBytes: -1}
";
    insta::assert_snapshot!(errors(text), @r"
    gateway.yaml:1: listen: must be a group of fields, not empty
    gateway.yaml:2: tls.certificate: must be a string, not a number; put it in quotes
    gateway.yaml:2: tls: `key` is missing
    gateway.yaml:3: dataDir: must be a string, not `true` or `false`; put it in quotes
    gateway.yaml:5: models[0].id: must be a string, not a list
    gateway.yaml:5: models[0]: `access` is missing: say who may use it: `groups: [..]` or `public: true`
    gateway.yaml:6: models[0].endpoints: must be a list, not a string
    gateway.yaml:7: models[0].apiKey: a secret must not be in this file: write `{env: NAME}` or `{file: path}`
    gateway.yaml:8: models[1]: must be a group of fields, not a number
    gateway.yaml:10: providers[0].access.public: must be `true` or `false`, not a string
    gateway.yaml:10: providers[0].catchAll: must be `true` or `false`, not a number
    gateway.yaml:10: providers[0].credential.header: must be one of authorization, x-api-key, api-key
    gateway.yaml:11: providers[1].access: say who may use it: `groups: [..]` or `public: true`
    gateway.yaml:11: providers[1].models[0]: `id` is missing
    gateway.yaml:11: providers[1].models[1]: must be a string or a group of fields, not a number; put it in quotes
    gateway.yaml:11: providers[1].timeouts.connect: must be a duration such as `30s` or `5m`, at most `24h`
    gateway.yaml:12: limits.bodyBytes: must be a whole number from 1024 to 1073741824
    gateway.yaml:12: limits.connections: must be a whole number from 1 to 1000000
    gateway.yaml:12: limits.headerBytes: must be a whole number from 1024 to 1048576
    ");
}

#[test]
fn a_secret_is_never_repeated() {
    for text in [
        model(", apiKey: sk-secret"),
        provider(", catchAll: true, credential: sk-secret"),
        provider(", catchAll: true, credential: [sk-secret]"),
        provider(", catchAll: true, credential: {env: X, file: sk-secret}"),
    ] {
        let refusal = errors(&text);
        assert!(!refusal.contains("sk-secret"), "{refusal}");
    }
    let refusal = errors(&model(", apiKey: sk-secret"));
    assert!(refusal.ends_with("write `{env: NAME}` or `{file: path}`"), "{refusal}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let issuers = "issuers: [{issuer: 'https://sso.example.org', audiences: [llm]}]";
    for (text, refusal) in [
        (
            "listen: {external: '0.0.0.0:9090'}".to_owned(),
            "listen.admin: 127.0.0.1:9090 is already used by `listen.external`",
        ),
        (
            "listen: {internal: '127.0.0.1:1'}".to_owned(),
            "listen.internal: it accepts tokens of `issuers`, and there are none",
        ),
        (
            "models: [{id: m, endpoints: ['http://h:1']}]".to_owned(),
            "models[0]: `access` is missing: say who may use it",
        ),
        (
            "models: [{id: m, endpoints: [], access: {public: true}}]".to_owned(),
            "models[0].endpoints: must have at least one",
        ),
        (model(", aliases: [m]"), "models[0].aliases[0]: `m` is already served: models[0].id"),
        (model(", aliases: ['a b']"), "models[0].aliases[0]: a model id has 1 to 256 visible"),
        (
            model(", limits: {concurrency: 0}"),
            "models[0].limits.concurrency: must be a whole number from 1 to",
        ),
        (model(", timeouts: {idle: 0s}"), "models[0].timeouts.idle: must be at least `1ms`"),
        (model(", timeouts: {idle: 25h}"), "models[0].timeouts.idle: must be a duration"),
        (model(", apiKey: {}"), "models[0].apiKey: a secret must not be in this file"),
        (provider(""), "providers[0]: has no models"),
        (
            provider(", models: [a, {id: a, upstream: b}]"),
            "providers[0].models[1]: `a` is already served: providers[0].models[0]",
        ),
        (
            format!("{issuers}\nlisten: {{internal: '127.0.0.1:8080'}}"),
            "listen.internal: 127.0.0.1:8080 is already used",
        ),
        (
            "issuers: [{issuer: 'http://sso.example.org', audiences: [llm]}]".to_owned(),
            "issuers[0]: `issuer` must be https",
        ),
        (
            "cors: {origins: ['https://a.example/x']}".to_owned(),
            "cors.origins[0]: must be an origin",
        ),
        ("tls: {certificate: tls.crt}".to_owned(), "tls: `key` is missing"),
        ("shutdown: {drain: 2d}".to_owned(), "shutdown.drain: must be a duration"),
    ] {
        let said = errors(&text);
        assert!(said.lines().any(|line| line.contains(refusal)), "{text}\n{said}");
    }
}

#[test]
fn two_providers_have_different_names_and_only_one_catches_all() {
    let one = "{name: p, url: 'https://h/v1', access: {public: true}, catchAll: true}";
    insta::assert_snapshot!(errors(&format!("providers:\n  - {one}\n  - {one}\n")), @r"
    gateway.yaml:3: providers[1].catchAll: `*` is already served: providers[0].catchAll
    gateway.yaml:3: providers[1].name: `p` is already used: providers[0].name
    ");
}

#[test]
fn a_served_model_may_have_the_id_of_a_providers_model() {
    good(&format!("{}\n{}", model(""), provider(", models: [m]")));
}

#[test]
fn an_alias_is_rewritten_to_the_id_that_the_servers_know() {
    let config = good(&model(", aliases: [other]"));
    let table = config.table(Vec::new(), 1);
    let document::Upstream::Served(served) = &table.routes[0].upstream else {
        panic!("a served model");
    };
    assert_eq!(served.model.as_ref().map(ModelId::as_str), Some("m"));
}

#[test]
fn keys_are_in_the_table_unchanged() {
    let key = r#"{"id": "abcdefgh2345", "clientId": "a", "owner": {"name": "me"}, "hash":
        "$argon2id$v=19$m=512,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
    let key: document::KeyRecord = serde_json::from_str(key).unwrap();
    let table = good("{}").table(vec![key], 1);
    let table = Table::try_from(table).unwrap();
    assert_eq!(table.keys[0].id, KeyId::parse("abcdefgh2345").unwrap());
}

#[test]
fn without_a_file_everyone_with_a_key_may_use_what_the_server_lists() {
    let models = vec!["a".to_owned(), "b".to_owned()];
    let config = Config::of_model_server("http://127.0.0.1:8000/", models).unwrap();
    let table = Table::try_from(config.table(Vec::new(), 1)).unwrap();
    let access: Vec<_> = table.routes.iter().map(|route| route.access.clone()).collect();
    assert_eq!(access, [Access::Public, Access::Public]);
    let refused = Config::of_model_server("127.0.0.1:8000", vec!["a".to_owned()]).unwrap_err();
    assert!(refused[0].message.starts_with("must be http(s)://host[:port]"), "{refused:?}");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[a-z:\\-\\[\\]{}&*!|>'\" \n#0-9]{0,200}") {
        let _ = Config::parse(&text, Path::new(""), &mut read);
    }
}
