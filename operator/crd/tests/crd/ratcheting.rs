//! Rules that came later leave what is stored alone.

use crate::support;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use llm_cluster::{ControlPlane, wait_for};
use serde_json::{Value, json};
use std::time::Duration;

/// How long it may take until the server goes by a changed definition.
const DEADLINE: Duration = Duration::from_secs(90);

/// What the first schema did not have.
const RULES: [&str; 8] = [
    "x-kubernetes-validations",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "maxItems",
    "maxProperties",
    "x-kubernetes-list-type",
];

fn without_rules(definition: &CustomResourceDefinition) -> CustomResourceDefinition {
    let mut definition = serde_json::to_value(definition).unwrap();
    strip(&mut definition["spec"]["versions"][0]["schema"]);
    serde_json::from_value(definition).unwrap()
}

fn strip(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.retain(|key, _| !RULES.contains(&key.as_str()));
            object.remove("x-kubernetes-list-map-keys");
            object.values_mut().for_each(strip);
        }
        Value::Array(all) => all.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// An object that breaks a rule: its name, the fields that do so as a merge patch into a good
/// spec, fields that break the same rule in another way, and what the server says of those.
type Row = (&'static str, Value, Value, &'static str);

const IN_RANGE: &str = "greater than or equal to 0";

fn models() -> [Row; 9] {
    let model = |model: Value| json!({"model": model});
    let size = |size: &str| model(json!({"storage": {"size": size}}));
    let gpus = |count: i32| json!({"resources": {"gpu": {"count": count}}});
    let replicas = |count: i32| json!({"serving": {"replicas": count}});
    let wait = |text: &str| json!({"endpoints": {"requestTimeout": text}});
    let no_size = model(json!({"storage": {"storageClassName": "a", "size": ""}}));
    let nobody = json!({"access": {"public": false}});
    const WHO: &str = "specify who may use the model";
    [
        ("no-access", json!({"access": {"public": null}}), nobody.clone(), WHO),
        ("3.dotted.name", json!({}), nobody, WHO),
        (
            "no-image",
            model(json!({"source": "oci"})),
            model(json!({"image": ""})),
            "source `oci` requires `image`",
        ),
        ("no-size", size(""), no_size, "requires `storage.size`"),
        ("odd-size", size("lots"), size("more"), "must be a quantity"),
        (
            "odd-id",
            model(json!({"name": "a b"})),
            model(json!({"name": "a c"})),
            "visible ASCII characters",
        ),
        ("few-gpus", gpus(-1), gpus(-2), IN_RANGE),
        ("few-replicas", replicas(-1), replicas(-2), IN_RANGE),
        ("long-wait", wait("99h"), wait("98h"), "must be between 0s and 24h"),
    ]
}

fn providers() -> [Row; 4] {
    let hostname = |text: &str| json!({"provider": {"hostname": text}});
    let declared = |ids: &[&str]| json!({"models": {"declared": ids}});
    let secret = |name: &str| json!({"provider": {"credentialSecretName": name}});
    [
        ("scheme", hostname("https://a"), hostname("https://b"), "must be a bare host name"),
        ("no-models", json!({"models": null}), declared(&[]), "specify which models are forwarded"),
        ("blank-id", declared(&[" ", "a"]), declared(&["  "]), "visible ASCII characters"),
        ("odd-secret", secret("A B"), secret("A C"), "must be a valid object name"),
    ]
}

/// The rows of both kinds.
fn rows() -> Vec<(&'static str, Row)> {
    let models = models().into_iter().map(|row| ("LLMModel", row));
    models.chain(providers().into_iter().map(|row| ("PassthroughModel", row))).collect()
}

fn good(kind: &str) -> Value {
    if kind == "LLMModel" {
        return json!({
            "model": {"name": "a", "source": "huggingface", "storage": {"size": "1Gi"}},
            "resources": {"gpu": {"count": 1}},
            "access": {"public": true},
        });
    }
    json!({
        "provider": {"hostname": "a", "credentialSecretName": "b"},
        "models": {"declared": ["c"]},
        "access": {"public": true},
    })
}

/// Another field of the spec than any row breaks.
fn elsewhere(kind: &str) -> Value {
    if kind == "LLMModel" {
        return json!({"advanced": {"vllm": {"extraArgs": ["--verbose"]}}});
    }
    json!({"provider": {"schemaVersion": "api/v1"}})
}

fn api(client: &kube::Client, kind: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(llm_crd::GROUP, llm_crd::VERSION, kind);
    Api::namespaced_with(client.clone(), "default", &ApiResource::from_gvk(&kind))
}

/// A good object but for a patch into its spec, with the finalizer of an older release.
fn object(kind: &str, name: &str, broken: &Value) -> DynamicObject {
    let mut spec = good(kind);
    merge(&mut spec, broken);
    serde_json::from_value(json!({
        "apiVersion": "llm.nebari.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "finalizers": ["llm.nebari.dev/cleanup"]},
        "spec": spec,
    }))
    .unwrap()
}

async fn patch(api: &Api<DynamicObject>, name: &str, patch: Value) -> Result<(), String> {
    let patched = api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    patched.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_stored_object_that_breaks_a_newer_rule_stays_editable_elsewhere_and_can_be_deleted() {
    let options = ControlPlane::options().without_workload_controllers();
    let cluster = options.start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let definitions = llm_crd::definitions().unwrap();
    let older: Vec<_> = definitions.iter().map(without_rules).collect();
    support::install(&cluster, &older).await;
    for (kind, (name, broken, ..)) in rows() {
        let object = object(kind, name, &broken);
        api(&client, kind).create(&PostParams::default(), &object).await.unwrap();
    }
    support::install(&cluster, &definitions).await;
    for (kind, (_, broken, ..)) in
        [("LLMModel", &models()[0]), ("PassthroughModel", &providers()[0])]
    {
        let (api, object) = (api(&client, kind), object(kind, "new", broken));
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let refused = async || api.create(&dry_run, &object).await.is_err();
        wait_for("the newer rules are in force", DEADLINE, refused).await.unwrap();
    }
    for (kind, (name, _, worse, expected)) in rows() {
        let api = api(&client, kind);
        patch(&api, name, json!({"spec": elsewhere(kind)})).await.unwrap();
        patch(&api, name, json!({"metadata": {"labels": {"a": "b"}}})).await.unwrap();
        let status = Patch::Merge(json!({"status": {"observedGeneration": 1}}));
        api.patch_status(name, &PatchParams::default(), &status).await.unwrap();
        let said = patch(&api, name, json!({"spec": worse})).await;
        let said = said.expect_err(&format!("{name} was made worse"));
        assert!(said.contains(expected), "{name}: {said}");
        api.delete(name, &DeleteParams::default()).await.unwrap();
        patch(&api, name, json!({"metadata": {"finalizers": null}})).await.unwrap();
        assert!(api.get_opt(name).await.unwrap().is_none(), "{name} is still there");
    }
}

/// A merge patch.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else if target.get(name).is_some() {
            merge(&mut target[name], value);
        } else {
            target[name] = value.clone();
        }
    }
}
