//! The manifests of the documentation, against a real API server.

use crate::support;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use llm_contract::{KeyHash, KeyId};
use llm_crd::{ApiKeyResource, LLMModel, PassthroughModel};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

/// Examples of the first release.
const OLDER: [&str; 6] = [
    "minimal.yaml",
    "devstral-small.yaml",
    "qwen3-5-35b-a3b-gptq-int4.yaml",
    "oci-model.yaml",
    "advanced-scheduling.yaml",
    "passthrough-openrouter.yaml",
];

fn examples() -> Vec<PathBuf> {
    let entries = fs::read_dir(support::project().join("docs/examples")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect()
}

fn kind(manifest: &Value) -> &str {
    manifest["kind"].as_str().unwrap()
}

fn name(manifest: &Value) -> &str {
    manifest["metadata"]["name"].as_str().unwrap()
}

fn through<T: Serialize + DeserializeOwned>(value: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<T>(value.clone()).unwrap()).unwrap()
}

/// What the types make of a stored object.
fn through_types(stored: &Value) -> Value {
    match kind(stored) {
        "LLMModel" => through::<LLMModel>(stored),
        "PassthroughModel" => through::<PassthroughModel>(stored),
        "ApiKey" => through::<ApiKeyResource>(stored),
        other => panic!("{other} is none of ours"),
    }
}

/// Whether all of `part` is in `whole`, with numbers compared as such.
fn is_within(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => part.iter().all(|(key, value)| {
            value.is_null() || whole.get(key).is_some_and(|other| is_within(value, other))
        }),
        (Value::Array(part), Value::Array(whole)) => {
            part.len() == whole.len() && part.iter().zip(whole).all(|(a, b)| is_within(a, b))
        }
        (Value::Number(part), Value::Number(whole)) => part.as_f64() == whole.as_f64(),
        // A quantity may be written as a number, and is text to the types.
        (Value::Number(part), Value::String(whole)) => part.to_string() == *whole,
        (part, whole) => part == whole,
    }
}

async fn read(client: &kube::Client, namespace: &str, manifest: &Value) -> Value {
    let kind = GroupVersionKind::gvk(llm_crd::GROUP, llm_crd::VERSION, kind(manifest));
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&kind));
    serde_json::to_value(api.get(name(manifest)).await.unwrap()).unwrap()
}

#[tokio::test]
async fn every_example_is_accepted_and_no_field_is_lost() {
    let cluster = support::cluster().await;
    let client = cluster.client().await.unwrap();
    for path in examples() {
        let namespace = cluster.namespace().await.unwrap();
        let file = path.to_str().unwrap();
        cluster
            .kubectl(&["-n", &namespace, "apply", "--server-side", "--validate=strict", "-f", file])
            .await
            .unwrap();
        for manifest in support::manifests(&fs::read_to_string(&path).unwrap()) {
            let stored = read(&client, &namespace, &manifest).await;
            assert!(is_within(&manifest, &stored), "{file}: the server dropped something");
            let ours = through_types(&stored);
            assert!(is_within(&stored["spec"], &ours["spec"]), "{file}: {stored:#}\n{ours:#}");
            assert!(is_within(&ours["spec"], &stored["spec"]) || has_numbers(&manifest), "{file}");
        }
    }
}

/// Whether a quantity is written as a number.
fn has_numbers(manifest: &Value) -> bool {
    manifest["spec"]["resources"]["requests"]["cpu"].is_number()
}

#[tokio::test]
async fn an_older_manifest_that_is_applied_again_changes_nothing() {
    let cluster = support::cluster().await;
    let client = cluster.client().await.unwrap();
    for mode in ["--server-side=false", "--server-side=true"] {
        let namespace = cluster.namespace().await.unwrap();
        for example in OLDER {
            let path = support::project().join("docs/examples").join(example);
            let apply = ["-n", &namespace, "apply", mode, "-f", path.to_str().unwrap()];
            cluster.kubectl(&apply).await.unwrap();
            let manifest = support::manifests(&fs::read_to_string(&path).unwrap()).remove(0);
            let first = read(&client, &namespace, &manifest).await;
            cluster.kubectl(&apply).await.unwrap();
            let second = read(&client, &namespace, &manifest).await;
            let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
            assert_eq!(version(&first), version(&second), "{example} {mode}");
        }
    }
}

#[tokio::test]
async fn an_absent_parent_stays_absent() {
    let cluster = support::cluster().await;
    let client = cluster.client().await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let path = support::project().join("docs/examples/minimal.yaml");
    let text = fs::read_to_string(&path).unwrap();
    cluster.kubectl(&["-n", &namespace, "apply", "-f", path.to_str().unwrap()]).await.unwrap();
    let stored = read(&client, &namespace, &support::manifests(&text)[0]).await;
    let fields: Vec<_> = stored["spec"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["access", "model", "resources"]);
}

#[tokio::test]
async fn whatever_the_server_stores_can_be_read() {
    let cluster = support::cluster().await;
    let client = cluster.client().await.unwrap();
    let models: Api<LLMModel> = Api::namespaced(client, &cluster.namespace().await.unwrap());
    let spec = json!({
        "model": {"name": "a", "source": "huggingface", "storage": {"type": "emptyDir"}},
        "resources": {"gpu": {"count": 1}},
        "access": {"public": true},
    });
    let seconds = |seconds| json!([{"operator": "Exists", "tolerationSeconds": seconds}]);
    for (at, (path, value)) in [
        ("/resources/gpu/count", json!(1.0)),
        ("/resources/limits", json!({"cpu": 4, "memory": "1e9"})),
        ("/advanced", json!({"inferencePool": {"schedulerConfig": [1, "a", null]}})),
        ("/advanced", json!({"vllm": {"tolerations": seconds(i64::MAX)}})),
        ("/serving", json!({"vllmArgs": [], "command": null})),
        ("/pricing", json!({"currency": "EUR", "inputPerMillion": 1, "outputPerMillion": 1e300})),
    ]
    .into_iter()
    .enumerate()
    {
        let mut spec = spec.clone();
        let (parent, field) = path.rsplit_once('/').unwrap();
        spec.pointer_mut(parent).unwrap()[field] = value;
        let name = format!("odd-{at}");
        let manifest = json!({
            "apiVersion": "llm.nebari.dev/v1alpha1",
            "kind": "LLMModel",
            "metadata": {"name": name},
            "spec": spec,
        });
        let apply = PatchParams::apply("test");
        // The answer is read as an LLMModel; a refusal is as good, because nothing is stored then.
        match models.patch(&name, &apply, &Patch::Apply(manifest)).await {
            Ok(_) | Err(kube::Error::Api(_)) => {}
            Err(error) => panic!("{path}: {error}"),
        }
    }
    assert!(4 <= models.list(&ListParams::default()).await.unwrap().items.len());
}

#[test]
fn the_keys_of_the_examples_are_keys() {
    let text = fs::read_to_string(support::project().join("docs/examples/api-keys.yaml")).unwrap();
    for manifest in support::manifests(&text) {
        let key: ApiKeyResource = serde_json::from_value(manifest).unwrap();
        assert!(KeyHash::parse(&key.spec.hash).is_ok(), "{}", key.spec.hash);
        assert!(KeyId::parse(&key.metadata.name.unwrap()).is_ok());
        assert!(key.spec.owner.who().is_some());
    }
}
