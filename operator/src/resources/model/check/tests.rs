//! What is wrong with a model is said, and where.

use super::*;
use serde_json::{Value, json};

fn observed() -> Observed {
    Observed {
        is_managed: true,
        token: HubToken::NotNeeded,
        deployment: None,
        claim: None,
        pods: Vec::new(),
        pod_monitors: false,
    }
}

/// A model that is in order, but for this.
fn model(change: &Value) -> Arc<LLMModel> {
    let mut model = json!({
        "metadata": {"name": "qwen3", "namespace": "models", "uid": "1"},
        "spec": {
            "model": {"name": "example/qwen3", "source": "huggingface", "storage": {"size": "1Gi"}},
            "resources": {"gpu": {"count": 1}, "limits": {"memory": "8Gi"}},
            "access": {"public": true},
        },
    });
    merge(&mut model["spec"], change);
    Arc::new(serde_json::from_value(model).unwrap())
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

fn refused(model: &Arc<LLMModel>, observed: &Observed, verdict: &Verdict) -> (Reason, String) {
    let refusal = check(&name(), model, observed, verdict).unwrap_err();
    (refusal.reason, refusal.message)
}

#[test]
fn a_model_that_cannot_be_served_says_which_field_is_wrong() {
    for (change, begins) in [
        (json!({"model": {"storage": {"size": ""}}}), "spec.model.storage.size: say how large"),
        (json!({"model": {"storage": {"size": "big"}}}), "spec.model.storage.size: `big` is no"),
        (json!({"model": {"source": "oci"}}), "spec.model.image: "),
        (json!({"model": {"source": "pvc"}}), "spec.model.storage.claimName: "),
        (json!({"resources": {"requests": {"cpu": "x"}}}), "spec.resources.requests.cpu: `x`"),
        (
            json!({"resources": {"gpu": {"count": 0}}, "serving": {"kvCacheOffload": {"cpuMemoryGiB": 1}}}),
            "spec.serving.kvCacheOffload: there is no GPU",
        ),
        (
            json!({"serving": {"kvCacheOffload": {"cpuMemoryGiB": 1}, "vllmArgs": ["--kv-offloading-size=2"]}}),
            "spec.serving.kvCacheOffload: it says what the argument --kv-offloading-size=2 says",
        ),
    ] {
        let (reason, message) = refused(&model(&change), &observed(), &Verdict::default());
        assert_eq!(reason, Reason::InvalidSpec, "{change}");
        assert!(message.starts_with(begins), "{message}");
    }
}

#[test]
fn what_is_wrong_beside_a_model_has_a_reason_of_its_own() {
    let taken = || vec![("example/qwen3".to_owned(), ResourceName::parse("models/older").unwrap())];
    let verdict = |verdict| (observed(), verdict);
    let seen = |observed| (observed, Verdict::default());
    for ((observed, verdict), reason, part) in [
        (
            seen(Observed { is_managed: false, ..observed() }),
            Reason::NamespaceNotWatched,
            "namespace models",
        ),
        (
            seen(Observed { token: HubToken::SecretMissing, ..observed() }),
            Reason::SecretMissing,
            "create it",
        ),
        (
            seen(Observed { token: HubToken::KeyMissing, ..observed() }),
            Reason::SecretKeyMissing,
            "HF_TOKEN",
        ),
        (
            verdict(Verdict { name_taken: true, ..Verdict::default() }),
            Reason::NameTaken,
            "PassthroughModel",
        ),
        (
            verdict(Verdict { ids_taken: taken(), ..Verdict::default() }),
            Reason::ModelIdTaken,
            "models/older",
        ),
        (
            verdict(Verdict { invalid: Some("spec.access: x".into()), ..Verdict::default() }),
            Reason::InvalidSpec,
            "x",
        ),
    ] {
        let (found, message) = refused(&model(&json!({})), &observed, &verdict);
        assert_eq!(found, reason);
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn an_alias_that_is_taken_is_said_and_the_rest_is_served() {
    let by = ResourceName::parse("models/older").unwrap();
    let verdict = Verdict { ids_taken: vec![("q".into(), by)], ..Verdict::default() };
    let checked =
        check(&name(), &model(&json!({"aliases": ["q"]})), &observed(), &verdict).unwrap();
    let [flaw] = checked.flaws.as_slice() else { panic!("{:?}", checked.flaws) };
    assert_eq!(flaw.reason, Reason::ModelIdTaken);
    assert!(flaw.message.starts_with("models/older has the id `q`"), "{}", flaw.message);
}
