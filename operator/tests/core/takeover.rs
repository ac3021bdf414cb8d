//! Taking over from the first release of the pack restarts nothing and forgets nothing.

use crate::support::{Cluster, DEADLINE, condition, is_there};
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use std::io::Write as _;

const NAME: &str = "qwen3-5-35b-a3b-gptq-int4";
const CLAIM: &str = "qwen3-5-35b-a3b-gptq-int4-model-storage";
const MODEL: &str = include_str!("../older/model.yaml");
const OBJECTS: &str = include_str!("../older/objects.yaml");

/// A model as the first release left it, with a pod that waits for a node.
async fn older() -> Cluster {
    let cluster = Cluster::shared().await;
    cluster.apply(&format!("\n{MODEL}")).await;
    let model = cluster.get("LLMModel", NAME).await;
    let uid = model["metadata"]["uid"].as_str().unwrap();
    create_as_older(&cluster, &OBJECTS.replace("UID", uid)).await;
    let status = json!({"phase": "Ready", "observedGeneration": 1});
    cluster.set_status("llmmodel", NAME, status).await;
    let pods = async || !pods(&cluster).await.is_empty();
    llm_cluster::wait_for("the pod", DEADLINE, pods).await.unwrap();
    let counted = |it: &Value| it["status"]["observedGeneration"] == 1;
    cluster.until("Deployment", NAME, "it is counted", counted).await;
    cluster
}

/// Creates objects with the field manager of the first release, as its client did.
async fn create_as_older(cluster: &Cluster, manifests: &str) {
    let namespace = format!("--namespace={}", cluster.namespace);
    let mut file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    file.write_all(manifests.as_bytes()).unwrap();
    let file = format!("--filename={}", file.path().display());
    let arguments = ["create", "--field-manager=manager", &namespace, &file];
    cluster.plane.kubectl(&arguments).await.unwrap();
}

async fn pods(cluster: &Cluster) -> Vec<String> {
    let selector = ListParams::default().labels(&format!("app.kubernetes.io/instance={NAME}"));
    let list = cluster.api("Pod").list(&selector).await.unwrap();
    list.items.into_iter().map(|pod| pod.metadata.uid.unwrap()).collect()
}

async fn replica_sets(cluster: &Cluster) -> usize {
    cluster.api("ReplicaSet").list(&ListParams::default()).await.unwrap().items.len()
}

fn is_ours(object: &Value) -> bool {
    is_there(&object["metadata"]["labels"]["llm.nebari.dev/plan-hash"])
}

#[tokio::test]
async fn a_deployment_of_the_first_release_is_taken_over_as_it_is() {
    let cluster = older().await;
    let (before, pods_before) = (cluster.get("Deployment", NAME).await, pods(&cluster).await);
    let claim = cluster.get("PersistentVolumeClaim", CLAIM).await;
    let _operator = cluster.operate().await;

    for (kind, name) in [
        ("Deployment", NAME),
        ("Service", NAME),
        ("PodMonitor", NAME),
        ("ServiceAccount", "qwen3-5-35b-a3b-gptq-int4-sa"),
        ("NetworkPolicy", "qwen3-5-35b-a3b-gptq-int4-deny-direct"),
        ("PersistentVolumeClaim", CLAIM),
    ] {
        let object = cluster.until(kind, name, "it is ours", is_ours).await;
        let owner = &object["metadata"]["ownerReferences"];
        assert_eq!((owner.as_array().unwrap().len(), &owner[0]["kind"]), (1, &json!("LLMModel")));
        let managers = object["metadata"]["managedFields"].as_array().unwrap();
        let older = |it: &&Value| it["manager"] == "manager" && it["subresource"].is_null();
        assert_eq!(managers.iter().find(older), None, "{kind}");
    }
    cluster.until_says("LLMModel", NAME, "Accepted", "Accepted").await;
    cluster.settle().await;

    let after = cluster.get("Deployment", NAME).await;
    assert_eq!(after["spec"], before["spec"], "field by field");
    assert_eq!(after["metadata"]["generation"], before["metadata"]["generation"]);
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!((replica_sets(&cluster).await, pods(&cluster).await), (1, pods_before));
    assert_eq!(cluster.get("PersistentVolumeClaim", CLAIM).await["spec"], claim["spec"]);

    // What others look after is left alone.
    assert!(is_there(&cluster.get("Service", "qwen3-5-35b-a3b-gptq-int4-epp").await));
    assert!(is_there(&cluster.get("Secret", "qwen3-5-35b-a3b-gptq-int4-api-keys").await));
    let model = cluster.get("LLMModel", NAME).await;
    assert!(model["metadata"]["finalizers"].is_null());
    assert_eq!(condition(&model, "Accepted")["status"], "True");
}

#[tokio::test]
async fn what_a_person_changes_afterwards_counts_in_full() {
    let cluster = older().await;
    let _operator = cluster.operate().await;
    cluster.until("Deployment", NAME, "it is ours", is_ours).await;
    // The first release wrote the selector; the person takes it out.
    let patch = r#"{"spec":{"advanced":null}}"#;
    cluster.kubectl(&["patch", "llmmodel", NAME, "--type=merge", "-p", patch]).await;
    let pod = |it: &Value| it["spec"]["template"]["spec"].clone();
    let changed = |it: &Value| pod(it)["nodeSelector"].is_null();
    let deployment = cluster.until("Deployment", NAME, "the selector is gone", changed).await;
    let pod = pod(&deployment);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["initContainers"][0]["image"], "example.org/llm-download:v1");
}

#[tokio::test]
async fn a_model_that_was_made_by_the_first_release_can_be_deleted() {
    let cluster = older().await;
    let operator = cluster.watch().await;
    cluster.api("LLMModel").delete(NAME, &DeleteParams::default()).await.unwrap();
    let leaving = |it: &Value| is_there(&it["metadata"]["deletionTimestamp"]);
    cluster.until("LLMModel", NAME, "it waits for the finalizer", leaving).await;
    operator.lead();
    cluster.until_gone("LLMModel", NAME).await;
    cluster.until_gone("Deployment", NAME).await;
    assert!(
        is_there(&cluster.get("Secret", "qwen3-5-35b-a3b-gptq-int4-api-keys").await),
        "keys stay"
    );
}
