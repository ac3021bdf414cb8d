//! Resources that make no sense stop no other.

use crate::support::{STEADY, TestBed, assert_no_errors};
use llm_cluster::ControlPlane;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const DEADLINE: Duration = Duration::from_secs(60);
const KINDS: [(&str, &str); 3] =
    [("LLMModel", "llmmodels"), ("PassthroughModel", "passthroughmodels"), ("ApiKey", "apikeys")];

/// Takes the schema from a kind, so that it takes everything.
async fn loosen(plane: &ControlPlane, plural: &str) {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let path = "/spec/versions/0/schema/openAPIV3Schema";
    let patch = json!([{"op": "replace", "path": path, "value": open}]).to_string();
    let name = format!("crd/{plural}.llm.nebari.dev");
    plane.kubectl(&["patch", &name, "--type=json", "--patch", &patch]).await.unwrap();
}

/// Specs that cannot be.
fn nonsense() -> Vec<Value> {
    let long = "x".repeat(100_000);
    let many: Vec<_> =
        (0..2000).map(|it| json!({"id": format!("id-{it}"), "upstream": ""})).collect();
    vec![
        json!({}),
        json!(null),
        json!([]),
        json!("text"),
        json!(7),
        json!({"model": 5, "provider": [], "owner": "me"}),
        json!({"model": {"name": long, "source": "huggingface"}, "provider": {"hostname": long}}),
        json!({"model": {"name": "a\u{0}b", "source": "moon"}, "models": {"declared": [1, null]}}),
        json!({"provider": {"hostname": "::::", "port": 70_000, "scheme": "gopher"}}),
        json!({"provider": {"hostname": "host", "credential": {"type": "None"}},
               "models": {"aliases": many, "catchAll": "yes"}, "access": {"groups": {}}}),
        json!({"hash": "$argon2id$", "models": "*", "expiresAt": "tomorrow", "owner": {"team": 1}}),
        json!({"resources": {"gpu": {"count": -1}, "limits": {"memory": "much"}},
               "serving": {"replicas": "two"}}),
    ]
}

#[tokio::test]
async fn resources_that_make_no_sense_stop_no_other() {
    let plane = Arc::new(ControlPlane::start().await.unwrap());
    let mut testbed = TestBed::on(Arc::clone(&plane), 1, 2).await;
    for (_, plural) in KINDS {
        loosen(&plane, plural).await;
    }
    let load = testbed.load();

    for (kind, plural) in KINDS {
        for (number, spec) in nonsense().into_iter().enumerate() {
            let name = format!("nonsense-{}-{number}", kind.to_lowercase());
            let object = json!({
                "apiVersion": "llm.nebari.dev/v1alpha1",
                "kind": kind,
                "metadata": {"name": name, "namespace": testbed.installation.namespace},
                "spec": spec,
            });
            let made = async || plane.apply(&object.to_string()).await.is_ok();
            let what = format!("{plural} takes {name}");
            llm_cluster::wait_for(&what, DEADLINE, made).await.unwrap();
        }
    }

    testbed.add_model("after").await;
    let first = testbed.operators.remove(0);
    first.kill().unwrap();
    testbed.add_operator().await;
    testbed.wait_for_followers(2).await;
    testbed.add_model("after-a-restart").await;
    testbed.wait_for_status(STEADY, 200).await;
    assert_no_errors(&load.stop().await);
}
