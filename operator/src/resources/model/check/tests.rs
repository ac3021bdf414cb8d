use super::*;
use serde_json::{Value, json};

fn observed() -> ObservedModel {
    ObservedModel { is_managed_namespace: true, ..ObservedModel::default() }
}

/// A valid model with a change to its spec.
fn model(change: &Value) -> LLMModel {
    let mut model = json!({
        "metadata": {"name": "qwen3", "namespace": "models", "uid": "1"},
        "spec": {
            "model": {"name": "example/qwen3", "source": "huggingface", "storage": {"size": "1Gi"}},
            "resources": {"gpu": {"count": 1}, "limits": {"memory": "8Gi"}},
            "access": {"public": true},
        },
    });
    merge(&mut model["spec"], change);
    serde_json::from_value(model).unwrap()
}

fn merge(value: &mut Value, more: &Value) {
    match (value, more) {
        (Value::Object(fields), Value::Object(more)) => {
            for (field, more) in more {
                merge(fields.entry(field.clone()).or_insert(Value::Null), more);
            }
        }
        (value, more) => *value = more.clone(),
    }
}

fn name() -> ResourceName {
    ResourceName::parse("models/qwen3").unwrap()
}

fn rejected(
    model: &LLMModel,
    observed: &ObservedModel,
    route_status: &RouteStatus,
) -> (Reason, String) {
    let invalid = check(&name(), model, observed, route_status).unwrap_err();
    (invalid.reason, invalid.message)
}

#[test]
fn an_invalid_model_reports_which_field_is_wrong() {
    for (change, begins) in [
        (json!({"model": {"storage": {"size": ""}}}), "spec.model.storage.size: specify the size"),
        (
            json!({"model": {"storage": {"size": "big"}}}),
            "spec.model.storage.size: `big` is not a quantity",
        ),
        (json!({"model": {"source": "oci"}}), "spec.model.image: "),
        (json!({"model": {"source": "pvc"}}), "spec.model.storage.claimName: "),
        (json!({"resources": {"requests": {"cpu": "x"}}}), "spec.resources.requests.cpu: `x`"),
        (
            json!({"resources": {"gpu": {"count": 0}}, "serving": {"kvCacheOffload": {"cpuMemoryGiB": 1}}}),
            "spec.serving.kvCacheOffload: requires a GPU",
        ),
        (
            json!({"serving": {"kvCacheOffload": {"cpuMemoryGiB": 1}, "vllmArgs": ["--kv-offloading-size=2"]}}),
            "spec.serving.kvCacheOffload: conflicts with the argument --kv-offloading-size=2",
        ),
    ] {
        let (reason, message) = rejected(&model(&change), &observed(), &RouteStatus::default());
        assert_eq!(reason, Reason::InvalidSpec, "{change}");
        assert!(message.starts_with(begins), "{message}");
    }
}

#[test]
fn problems_outside_of_the_spec_have_reasons_of_their_own() {
    let taken = || vec![("example/qwen3".to_owned(), ResourceName::parse("models/older").unwrap())];
    let route_status = |route_status| (observed(), route_status);
    let seen = |observed| (observed, RouteStatus::default());
    for ((observed, route_status), reason, part) in [
        (
            seen(ObservedModel { is_managed_namespace: false, ..observed() }),
            Reason::NamespaceNotWatched,
            "namespace models",
        ),
        (
            seen(ObservedModel { token: HubToken::SecretMissing, ..observed() }),
            Reason::SecretMissing,
            "create it",
        ),
        (
            seen(ObservedModel { token: HubToken::KeyMissing, ..observed() }),
            Reason::SecretKeyMissing,
            "HF_TOKEN",
        ),
        (
            route_status(RouteStatus { name_taken: true, ..RouteStatus::default() }),
            Reason::NameTaken,
            "PassthroughModel",
        ),
        (
            route_status(RouteStatus { ids_taken: taken(), ..RouteStatus::default() }),
            Reason::ModelIdTaken,
            "models/older",
        ),
        (
            route_status(RouteStatus {
                invalid: Some("spec.access: x".into()),
                ..RouteStatus::default()
            }),
            Reason::InvalidSpec,
            "x",
        ),
    ] {
        let (found, message) = rejected(&model(&json!({})), &observed, &route_status);
        assert_eq!(found, reason);
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_taken_alias_is_reported_and_the_rest_is_served() {
    let by = ResourceName::parse("models/older").unwrap();
    let route_status = RouteStatus { ids_taken: vec![("q".into(), by)], ..RouteStatus::default() };
    let checked =
        check(&name(), &model(&json!({"aliases": ["q"]})), &observed(), &route_status).unwrap();
    let [skipped] = checked.skipped_ids.as_slice() else { panic!("{:?}", checked.skipped_ids) };
    assert_eq!(skipped.reason, Reason::ModelIdTaken);
    assert!(skipped.message.starts_with("the id `q` belongs to"), "{}", skipped.message);
}
