//! What the API server refuses, and what it says then.

use crate::support;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

fn model() -> Value {
    json!({
        "apiVersion": "llm.nebari.dev/v1alpha1",
        "kind": "LLMModel",
        "metadata": {"name": "qwen3"},
        "spec": {
            "model": {"name": "Qwen/Qwen3-8B", "source": "huggingface", "storage": {"size": "40Gi"}},
            "resources": {"gpu": {"count": 1}},
            "access": {"groups": ["ml-team"]},
        },
    })
}

fn provider() -> Value {
    json!({
        "apiVersion": "llm.nebari.dev/v1alpha1",
        "kind": "PassthroughModel",
        "metadata": {"name": "openrouter"},
        "spec": {
            "provider": {"hostname": "openrouter.ai", "credentialSecretName": "openrouter"},
            "models": {"declared": ["google/gemini-2.5-flash"]},
            "access": {"groups": ["ml-team"]},
        },
    })
}

fn key() -> Value {
    json!({
        "apiVersion": "llm.nebari.dev/v1alpha1",
        "kind": "ApiKey",
        "metadata": {"name": "abcdefgh2345"},
        "spec": {
            "displayName": "laptop",
            "clientId": "ada-laptop",
            "owner": {"team": "ml-team"},
            "hash": format!("$argon2id$v=19$m=512,t=1,p=1${}${}", "B".repeat(22), "A".repeat(43)),
            "models": ["models/qwen3"],
        },
    })
}

/// A manifest in which the value at a path is another; null takes it away.
fn with(mut manifest: Value, path: &str, value: Value) -> Value {
    let mut place = &mut manifest;
    for name in path.split('.') {
        place = &mut place[name];
    }
    *place = value;
    manifest
}

/// What the server says of a new object, which it does not keep.
async fn verdict(client: &kube::Client, manifest: &Value) -> Result<(), String> {
    let kind = manifest["kind"].as_str().unwrap();
    let resource =
        ApiResource::from_gvk(&GroupVersionKind::gvk(llm_crd::GROUP, llm_crd::VERSION, kind));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &resource);
    let object = serde_json::from_value(manifest.clone()).unwrap();
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    api.create(&dry_run, &object).await.map(drop).map_err(|error| error.to_string())
}

/// Tries rows of a path, a value, and what the refusal says; nothing for a value that is fine.
async fn check(manifest: Value, rows: &[(&str, Value, &str)]) {
    let cluster = support::cluster().await;
    let client = cluster.client().await.unwrap();
    verdict(&client, &manifest).await.unwrap();
    for (path, value, expected) in rows {
        let said = verdict(&client, &with(manifest.clone(), path, value.clone())).await;
        match said {
            Ok(()) => assert!(expected.is_empty(), "{path}: {value} is accepted"),
            Err(said) => {
                let fits = !expected.is_empty() && said.contains(expected);
                assert!(fits, "{path}: {value} is refused with: {said}");
            }
        }
    }
}

#[tokio::test]
async fn a_model_says_who_may_use_it() {
    const WHO: &str = "specify who may use the model";
    check(
        model(),
        &[
            ("spec.access", json!({}), WHO),
            ("spec.access", json!({"groups": []}), WHO),
            ("spec.access", json!({"public": false}), WHO),
            ("spec.access", json!({"public": true}), ""),
            ("spec.access", json!({"public": true, "groups": ["a"]}), ""),
            ("spec.access.groups", json!([""]), "spec.access.groups[0]"),
        ],
    )
    .await;
}

#[tokio::test]
async fn weights_come_from_somewhere_that_can_be() {
    check(
        model(),
        &[
            ("spec.model.source", json!("s3"), "Unsupported value"),
            ("spec.model.source", json!("oci"), "source `oci` requires `image`"),
            ("spec.model", json!({"name": "a", "source": "oci", "image": "b"}), ""),
            ("spec.model", json!({"name": "a", "source": "pvc"}), "requires `storage.claimName`"),
            ("spec.model.storage", json!({"claimName": "a"}), "is only allowed with source `pvc`"),
            ("spec.model.storage", json!({"type": "image"}), "is only allowed with source `oci`"),
            ("spec.model.storage", json!({"type": "emptyDir"}), ""),
            ("spec.model.storage", json!({}), "requires `storage.size`"),
            ("spec.model.storage", Value::Null, "requires `storage.size`"),
            ("spec.model.storage.size", json!("lots"), "must be a quantity greater than 0"),
            ("spec.model.storage.size", json!("-1Gi"), "must be a quantity greater than 0"),
            ("spec.model.storage.size", json!("0"), "must be a quantity greater than 0"),
            ("spec.model.storage.size", json!("1.5Ti"), ""),
            ("spec.model.endpoint", json!("hub.example.org"), "must be a URL"),
            ("spec.model.endpoint", json!("ftp://hub.example.org"), "must be a URL"),
            ("spec.model.endpoint", json!("http://hub.example.org:8080/hf"), ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn model_ids_are_what_a_request_can_say() {
    const ID: &str = "visible ASCII characters";
    check(
        model(),
        &[
            ("spec.model.name", json!(""), ID),
            ("spec.model.name", json!("a b"), ID),
            ("spec.model.name", json!("a\"b"), ID),
            ("spec.model.name", json!("a\\b"), ID),
            ("spec.model.name", json!("[a]{b}~!#"), ""),
            ("spec.model.name", json!("a".repeat(256)), ""),
            ("spec.model.name", json!("a".repeat(257)), "may not be more than 256"),
            ("spec.aliases", json!(["good", "not good"]), "spec.aliases[1]"),
            ("spec.aliases", json!(["twice", "twice"]), "Duplicate value"),
            ("spec.routing", json!({"fallback": ["ä"]}), ID),
        ],
    )
    .await;
}

#[tokio::test]
async fn numbers_and_waits_are_in_range() {
    check(
        model(),
        &[
            ("spec.resources.gpu.count", json!(-1), "greater than or equal to 0"),
            ("spec.resources.gpu.count", json!(65), "less than or equal to 64"),
            ("spec.resources.gpu.type", json!("a100"), ""),
            ("spec.resources.limits", json!({"memory": "lots"}), "memory"),
            ("spec.resources.limits", json!({"cpu": 4, "memory": "64Gi"}), ""),
            ("spec.serving", json!({"replicas": -1}), "greater than or equal to 0"),
            ("spec.serving", json!({"replicas": 0}), ""),
            ("spec.serving", json!({"tensorParallelism": 0}), "greater than or equal to 1"),
            ("spec.serving", json!({"kvCacheOffload": {"cpuMemoryGiB": 0}}), "cpuMemoryGiB"),
            ("spec.endpoints", json!({"requestTimeout": "soon"}), "should match"),
            ("spec.endpoints", json!({"requestTimeout": "25h"}), "must be between 0s and 24h"),
            ("spec.endpoints", json!({"requestTimeout": "23h59m60s"}), ""),
            ("spec.endpoints", json!({"external": {"subdomain": "a".repeat(64)}}), "more than 63"),
            ("spec.limits", json!({"concurrency": 0}), "greater than or equal to 1"),
            ("spec.limits", json!({"tokensPerMinute": 5_000_000_000_u64}), "less than or equal to"),
            ("spec.limits", json!({"queue": {"size": 1, "timeout": "0s"}}), "between 1ms and 24h"),
            ("spec.limits", json!({"perCaller": {"requestsPerMinute": 0}}), "equal to 1"),
            ("spec.scaling", json!({"minReplicas": 3, "maxReplicas": 2}), "`minReplicas` must not"),
            ("spec.scaling", json!({"maxReplicas": 0}), "greater than or equal to 1"),
            ("spec.scaling", json!({"maxReplicas": 2, "idleAfter": "5m"}), "`idleAfter` requires"),
            ("spec.scaling", json!({"minReplicas": 0, "maxReplicas": 2, "idleAfter": "5m"}), ""),
            ("spec.pricing", price("EUR", -1.0), "greater than or equal to 0"),
            ("spec.pricing", price("euro", 1.0), "should match"),
            ("spec.pricing", price("EUR", 0.2), ""),
        ],
    )
    .await;
}

fn price(currency: &str, input: f64) -> Value {
    json!({"currency": currency, "inputPerMillion": input, "outputPerMillion": 0.6})
}

#[tokio::test]
async fn a_name_fits_every_object_that_is_named_after_it() {
    const SERVICE: &str = "is used as a Service name";
    check(
        model(),
        &[
            ("metadata.name", json!("a".repeat(63)), ""),
            ("metadata.name", json!("a".repeat(64)), SERVICE),
            ("metadata.name", json!("a.b"), SERVICE),
            ("metadata.name", json!("3b"), SERVICE),
        ],
    )
    .await;
    check(
        provider(),
        &[
            ("metadata.name", json!("3.b"), ""),
            ("metadata.name", json!("a".repeat(64)), "is used as a label value"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_provider_is_somewhere_and_its_host_name_is_bare() {
    const BARE: &str = "must be a bare host name";
    check(
        provider(),
        &[
            ("spec.provider.hostname", json!("https://openrouter.ai"), "remove the scheme"),
            ("spec.provider.hostname", json!("openrouter.ai:443"), BARE),
            ("spec.provider.hostname", json!("openrouter.ai/api"), BARE),
            ("spec.provider.hostname", json!(" openrouter.ai"), BARE),
            ("spec.provider.hostname", json!(""), "at least 1"),
            ("spec.provider.hostname", json!("  "), BARE),
            ("spec.provider.hostname", json!("OpenRouter.ai."), ""),
            ("spec.provider.hostname", json!("10.0.0.1"), ""),
            ("spec.provider.hostname", Value::Null, "`hostname` is required"),
            ("spec.provider.credentialSecretName", Value::Null, "credentialSecretName"),
            ("spec.provider.credentialSecretName", json!(" "), "must be a valid object name"),
            ("spec.provider.port", json!(0), "greater than or equal to 1"),
            ("spec.provider.schemaVersion", json!("v1?a=b"), "must be a path"),
            ("spec.provider.schemaVersion", json!(""), ""),
            ("spec.provider.scheme", json!("http"), "requires a `port` other than 443"),
            ("spec.provider", json!({"hostname": "a", "credential": {"type": "None"}}), ""),
            ("spec.provider", bedrock(), ""),
        ],
    )
    .await;
}

fn bedrock() -> Value {
    json!({
        "backend": {"type": "Bedrock", "bedrock": {"region": "eu-central-1"}},
        "credential": {"type": "WorkloadIdentity"},
    })
}

#[tokio::test]
async fn a_header_is_not_one_of_the_gateways_own() {
    let header = |name: &str, value: &str| json!([{"name": name, "value": value}]);
    check(
        provider(),
        &[
            ("spec.provider.headers", header("X-Team", "ml"), ""),
            ("spec.provider.headers", header("X Team", "ml"), "must be a header name"),
            ("spec.provider.headers", header("Authorization", "a"), "the gateway sets this"),
            ("spec.provider.headers", header("x-llm-client-id", "a"), "the gateway sets this"),
            ("spec.provider.headers", header("X-Team", "a\nb"), "must be visible ASCII"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_provider_passes_something_on_and_is_reached_somewhere() {
    let off = json!({"enabled": false});
    check(
        provider(),
        &[
            ("spec.models", Value::Null, "specify which models are forwarded"),
            ("spec.models", json!({}), "specify which models are forwarded"),
            ("spec.models", json!({"declared": []}), "specify which models are forwarded"),
            ("spec.models", json!({"catchAll": true}), ""),
            ("spec.models", json!({"aliases": [{"id": "a", "upstream": "b"}]}), ""),
            ("spec.models.declared", json!([" "]), "spec.models.declared[0]"),
            ("spec.endpoints", json!({"external": off, "internal": off}), "at least one endpoint"),
            ("spec.endpoints", json!({"external": off}), ""),
            ("spec.endpoints", json!({"external": off, "internal": {}}), ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_key_has_an_id_an_owner_and_a_hash() {
    const OWNER: &str = "specify exactly one owner";
    let person = json!({"issuer": "https://a", "subject": "b", "username": "c"});
    check(
        key(),
        &[
            ("metadata.name", json!("laptop"), "must be the public part of the key"),
            ("metadata.name", json!("abcdefgh1890"), "must be the public part of the key"),
            ("spec.owner", json!({}), OWNER),
            ("spec.owner", json!({"team": "a", "serviceAccount": "b/c"}), OWNER),
            ("spec.owner", json!({"issuer": "https://a"}), "a person requires all of"),
            ("spec.owner", json!({"team": "a", "username": "b"}), "a person requires all of"),
            ("spec.owner", json!({"serviceAccount": "chat"}), "must be <namespace>/<name>"),
            ("spec.owner", person, ""),
            ("spec.hash", json!("sk-nb-abcdefgh2345-secret"), "must be an argon2id PHC string"),
            ("spec.clientId", json!("a b"), "visible ASCII"),
            ("spec.displayName", json!(""), "at least 1"),
            ("spec.displayName", json!("a\nb"), "must not contain control characters"),
            ("spec.displayName", json!("Adas Läptöp"), ""),
            ("spec.models", json!(["qwen3"]), "must be <namespace>/<name> of a model"),
            ("spec.models", json!(["*", "models/*", "models/qwen3"]), ""),
            ("spec.models", json!([]), ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_times_of_a_key_can_be_read_and_make_sense() {
    let replaces = |id: &str| json!({"id": id, "overlapUntil": "2030-01-01T00:00:00Z"});
    check(
        key(),
        &[
            ("spec.expiresAt", json!("2030-01-01T00:00:00.5+02:00"), ""),
            ("spec.expiresAt", json!("2030-01-01"), "spec.expiresAt"),
            ("spec.expiresAt", json!("2030-01-01T00:00:00+99:99"), "spec.expiresAt"),
            ("spec.expiresAt", json!("9999-12-31T23:59:59-14:00"), "spec.expiresAt"),
            ("spec.expiresAt", json!("2030-02-30T00:00:00Z"), "spec.expiresAt"),
            ("spec.replaces", replaces("abcdefgh2346"), ""),
            ("spec.replaces", replaces("abcdefgh2345"), "must name another key"),
            ("spec.replaces", json!({"id": "abcdefgh2346"}), "overlapUntil"),
        ],
    )
    .await;
    let begins = with(key(), "spec.notBefore", json!("2030-01-02T00:00:00Z"));
    check(
        begins,
        &[
            ("spec.expiresAt", json!("2030-01-02T00:00:00Z"), "must be later than `notBefore`"),
            ("spec.expiresAt", json!("2030-01-02T00:00:01Z"), ""),
        ],
    )
    .await;
}
