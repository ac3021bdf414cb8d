//! Models on a real control plane without nodes: pods are made, and nothing runs them. The tests
//! write the statuses that a kubelet would.

use crate::support::{Cluster, DEADLINE, Operator, condition, is_there, phase};
use k8s_openapi::{api::core::v1::Service, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::api::{DeleteParams, ListParams};
use llm_contract::ResourceName;
use llm_operator::apply::{ApplyError, Object, Plan};
use serde_json::{Value, json};

const OBJECTS: &[(&str, &str)] = &[
    ("PersistentVolumeClaim", "qwen3-model-storage"),
    ("ServiceAccount", "qwen3-sa"),
    ("Service", "qwen3"),
    ("NetworkPolicy", "qwen3-deny-direct"),
    ("Deployment", "qwen3"),
];

pub(crate) fn model(name: &str, more: &str) -> String {
    format!(
        "
apiVersion: llm.nebari.dev/v1alpha1
kind: LLMModel
metadata:
  name: {name}
spec:
  model: {{name: example/{name}, source: huggingface, storage: {{type: pvc, size: 1Gi}}}}
  resources: {{gpu: {{count: 1}}}}
  access: {{public: true}}
{more}"
    )
}

/// A running operator that has made a Deployment of the model `qwen3`.
pub(crate) async fn deployed_model() -> (Cluster, Operator) {
    let cluster = Cluster::shared().await;
    let operator = cluster.operate().await;
    cluster.apply(&model("qwen3", "")).await;
    cluster.until("Deployment", "qwen3", "it is there", is_there).await;
    (cluster, operator)
}

/// The only pod of a model.
async fn pod(cluster: &Cluster, model: &str) -> String {
    let selector = ListParams::default().labels(&format!("app.kubernetes.io/instance={model}"));
    let look = async || cluster.api("Pod").list(&selector).await.ok()?.items.pop()?.metadata.name;
    llm_cluster::wait_for_some("a pod of the model", DEADLINE, look).await.unwrap()
}

#[tokio::test]
async fn a_model_becomes_objects_that_it_owns_and_says_why_it_does_not_serve() {
    let cluster = Cluster::shared().await;
    let _operator = cluster.operate().await;
    cluster.apply(&model("qwen3", "")).await;
    for (kind, name) in OBJECTS {
        let object = cluster.until(kind, name, "it is there", is_there).await;
        let owner = &object["metadata"]["ownerReferences"][0];
        assert_eq!((&owner["kind"], &owner["name"]), (&json!("LLMModel"), &json!("qwen3")));
    }
    cluster.until_says("LLMModel", "qwen3", "ServingReady", "Unschedulable").await;
    let model = cluster.get("LLMModel", "qwen3").await;
    assert_eq!(phase(&model), "Starting");
    assert_eq!(model["status"]["replicas"], json!({"ready": 0, "desired": 1}));
    assert_eq!(model["status"]["endpoints"]["external"], "https://llm.example.org");
    assert_eq!(condition(&model, "Accepted")["status"], "True");
    assert_eq!(model["status"]["observedGeneration"], model["metadata"]["generation"]);
    let event = async || {
        let events = cluster.kubectl(&["events", "--for=llmmodel/qwen3"]).await;
        events.contains("Unschedulable")
    };
    llm_cluster::wait_for("an event", DEADLINE, event).await.unwrap();
}

#[tokio::test]
async fn a_model_that_is_deleted_takes_everything_with_it() {
    let (cluster, _operator) = deployed_model().await;
    cluster.api("LLMModel").delete("qwen3", &DeleteParams::default()).await.unwrap();
    for (kind, name) in OBJECTS {
        cluster.until_gone(kind, name).await;
    }
    cluster.settle().await;
    for (kind, name) in OBJECTS {
        assert!(cluster.get(kind, name).await.is_null(), "{kind} is made again");
    }
}

/// A plan for a model, of which a Service differs from any that was written.
async fn other_plan(cluster: &Cluster) -> Plan {
    let uid = cluster.get("LLMModel", "qwen3").await["metadata"]["uid"].as_str().map(str::to_owned);
    let owner = OwnerReference {
        api_version: "llm.nebari.dev/v1alpha1".into(),
        kind: "LLMModel".into(),
        name: "qwen3".into(),
        uid: uid.unwrap(),
        controller: Some(true),
        block_owner_deletion: None,
    };
    let metadata = json!({"ownerReferences": [owner], "labels": {"other": "yes"}});
    let service = json!({"metadata": metadata, "spec": {"ports": [{"port": 8000}]}});
    let service: Service = serde_json::from_value(service).unwrap();
    let name = ResourceName::parse(&format!("{}/qwen3", cluster.namespace)).unwrap();
    Plan { owner, objects: vec![Object::of(name, &service)] }
}

#[tokio::test]
async fn nothing_is_made_for_a_model_that_has_gone_unnoticed() {
    let (cluster, operator) = deployed_model().await;
    let plan = other_plan(&cluster).await;
    cluster.api("LLMModel").delete("qwen3", &DeleteParams::default()).await.unwrap();

    let applier = &operator.context.applier;
    let Object { resource, name, .. } = &plan.objects[0];
    let gone = async || matches!(applier.live(resource, name).await, Ok(None));
    llm_cluster::wait_for("the Service is seen to have gone", DEADLINE, gone).await.unwrap();
    let errors = applier.apply(&plan).await;
    assert!(matches!(errors[..], [ApplyError::OwnerDeleted { .. }]), "{errors:?}");
    assert_eq!(cluster.get("Service", "qwen3").await, Value::Null);
}

#[tokio::test]
async fn what_has_gone_or_was_replaced_unnoticed_is_not_written() {
    let (cluster, operator) = deployed_model().await;
    let plan = other_plan(&cluster).await;
    let (live, applier) =
        (operator.context.cluster.owned.clone(), operator.context.applier.clone());
    let Object { resource, name, .. } = &plan.objects[0];
    let seen = async || live.get(resource, name).is_some();
    llm_cluster::wait_for("the Service is seen", DEADLINE, seen).await.unwrap();
    // What was seen stays seen, whatever happens.
    operator.stop().await;

    // The second one also takes something out, which is a patch of its own.
    let mut plans = [plan.clone(), plan];
    plans[1].objects[0].value["spec"]["sessionAffinity"] = Value::Null;

    cluster.api("Service").delete("qwen3", &DeleteParams::default()).await.unwrap();
    cluster.until_gone("Service", "qwen3").await;
    for plan in &plans {
        let errors = applier.apply(plan).await;
        assert!(matches!(errors[..], [ApplyError::Stale { .. }]), "{errors:?}");
        assert_eq!(cluster.get("Service", "qwen3").await, Value::Null);
    }

    cluster.kubectl(&["create", "service", "clusterip", "qwen3", "--tcp=80"]).await;
    let theirs = cluster.get("Service", "qwen3").await;
    for plan in &plans {
        let errors = applier.apply(plan).await;
        assert!(matches!(errors[..], [ApplyError::Stale { .. }]), "{errors:?}");
        assert_eq!(cluster.get("Service", "qwen3").await, theirs);
    }
}

#[tokio::test]
async fn what_drifts_is_put_right_and_what_others_added_stays() {
    let (cluster, _operator) = deployed_model().await;
    cluster.kubectl(&["label", "service/qwen3", "example.org/team=ml"]).await;
    cluster.kubectl(&["annotate", "deployment/qwen3", "example.org/note=mine"]).await;
    cluster.kubectl(&["delete", "networkpolicy/qwen3-deny-direct"]).await;
    cluster.kubectl(&["scale", "deployment/qwen3", "--replicas=7"]).await;
    let ports = r#"{"spec":{"ports":[{"name":"http","port":8000,"targetPort":"other"}]}}"#;
    cluster.kubectl(&["patch", "service/qwen3", "-p", ports]).await;
    cluster.kubectl(&["label", "deployment/qwen3", "app.kubernetes.io/managed-by-"]).await;

    cluster.until("NetworkPolicy", "qwen3-deny-direct", "it is back", is_there).await;
    let replicas = |it: &Value| it["spec"]["replicas"] == 1;
    let deployment = cluster.until("Deployment", "qwen3", "one replica", replicas).await;
    assert_eq!(deployment["metadata"]["annotations"]["example.org/note"], "mine");
    let port = |it: &Value| it["spec"]["ports"][0]["targetPort"] == "http";
    let service = cluster.until("Service", "qwen3", "its port is right", port).await;
    assert_eq!(service["metadata"]["labels"]["example.org/team"], "ml");
    let labelled = |it: &Value| {
        it["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "nebari-llm-operator"
    };
    cluster.until("Deployment", "qwen3", "its label is back", labelled).await;
}

#[tokio::test]
async fn what_a_model_no_longer_wants_is_removed() {
    let cluster = Cluster::shared().await;
    let _operator = cluster.operate().await;
    cluster.apply(&model("qwen3", "  serving: {monitoring: {enabled: true}}\n")).await;
    cluster.until("PodMonitor", "qwen3", "it is there", is_there).await;
    cluster.apply(&model("qwen3", "  serving: {monitoring: {enabled: false}}\n")).await;
    cluster.until_gone("PodMonitor", "qwen3").await;
    // The weights are not thrown away with the wish for a volume.
    let folder = model("qwen3", "").replace("type: pvc, size: 1Gi", "type: emptyDir");
    cluster.apply(&folder).await;
    let in_folder =
        |it: &Value| !it["spec"]["template"]["spec"]["volumes"][0]["emptyDir"].is_null();
    cluster.until("Deployment", "qwen3", "it uses a folder", in_folder).await;
    cluster.settle().await;
    assert!(is_there(&cluster.get("PersistentVolumeClaim", "qwen3-model-storage").await));
}

#[tokio::test]
async fn the_strategy_changes_both_ways() {
    let cluster = Cluster::shared().await;
    let _operator = cluster.operate().await;
    for strategy in ["RollingUpdate", "Recreate", "RollingUpdate", "Recreate"] {
        cluster
            .apply(&model("qwen3", &format!("  serving: {{updateStrategy: {strategy}}}\n")))
            .await;
        let has = |it: &Value| it["spec"]["strategy"]["type"] == strategy;
        cluster.until("Deployment", "qwen3", strategy, has).await;
    }
}

#[tokio::test]
async fn a_field_that_is_taken_out_is_gone() {
    let cluster = Cluster::shared().await;
    let _operator = cluster.operate().await;
    let env = "  advanced: {vllm: {extraEnv: [{name: A, value: b}], nodeSelector: {gpu: l4}}}\n";
    cluster.apply(&model("qwen3", env)).await;
    let pod = |it: &Value| it["spec"]["template"]["spec"].clone();
    let there = |it: &Value| !pod(it)["containers"][0]["env"].is_null();
    cluster.until("Deployment", "qwen3", "the variable is there", there).await;
    cluster.apply(&model("qwen3", "")).await;
    let gone =
        |it: &Value| pod(it)["containers"][0]["env"].is_null() && pod(it)["nodeSelector"].is_null();
    cluster.until("Deployment", "qwen3", "the variable is gone", gone).await;
}

/// Says of a pod what a kubelet would, until its model is as wanted: the scheduler, which finds no
/// node, says its own of the pod every few seconds, and the last word counts.
async fn kubelet_says(
    cluster: &Cluster,
    pod: &str,
    status: &Value,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let says = async || cluster.set_status("pod", pod, status.clone()).await;
    cluster.until_while(says, "LLMModel", "qwen3", what, wanted).await
}

#[tokio::test]
async fn a_status_says_what_the_kubelet_says() {
    let cluster = Cluster::shared().await;
    let _operator = cluster.operate().await;
    cluster.apply(&model("qwen3", "")).await;
    let pod = pod(&cluster, "qwen3").await;
    let scheduled = json!({"type": "PodScheduled", "status": "True"});
    let status = |init: Value, vllm: Value, ready: &str| {
        let container = |name: &str, state: Value| {
            let mut container = json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 2});
            container.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
            container
        };
        json!({
            "phase": "Pending",
            "conditions": [scheduled, {"type": "Ready", "status": ready}],
            "initContainerStatuses": [container("model-downloader", init)],
            "containerStatuses": [container("vllm", vllm)],
        })
    };
    let waits = json!({"state": {"waiting": {"reason": "PodInitializing"}}});
    let done = json!({"state": {"terminated": {"exitCode": 0}}});
    let says = async |status: Value, about: &str, reason: &str| {
        let wanted = |it: &Value| condition(it, about)["reason"] == reason;
        let model = kubelet_says(&cluster, &pod, &status, reason, wanted).await;
        let said = condition(&model, about)["message"].as_str().unwrap().to_owned();
        (model, said)
    };

    let running = json!({"state": {"running": {"startedAt": "2030-01-01T00:00:00Z"}}});
    let downloads = status(running, waits.clone(), "False");
    let wanted = |it: &Value| phase(it) == "Downloading";
    kubelet_says(&cluster, &pod, &downloads, "it downloads", wanted).await;

    let failed = json!({
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 65, "reason": "Error", "message": "the hub refuses example/qwen3 with 403"}},
    });
    let (_, said) = says(status(failed, waits, "False"), "WeightsReady", "DownloadFailed").await;
    assert!(said.contains("exit code 65): the hub refuses example/qwen3 with 403"), "{said}");

    let pull =
        json!({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}});
    let pull = status(done.clone(), pull, "False");
    let (_, said) = says(pull, "ServingReady", "ImagePullFailed").await;
    assert_eq!(said, "image i: not found");

    let crash = json!({
        "state": {"running": {"startedAt": "2030-01-01T00:00:00Z"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "OOMKilled", "message": "a\nlast line\n"}},
    });
    let crash = status(done.clone(), crash, "False");
    let (model, said) = says(crash, "ServingReady", "CrashLoop").await;
    assert_eq!(said, "vLLM has ended 2 times, last with OOMKilled, exit code 1: last line");
    assert_eq!(condition(&model, "WeightsReady")["reason"], "Downloaded");

    let fine = json!({"state": {"running": {"startedAt": "2030-01-01T00:00:00Z"}}, "ready": true, "lastState": {}});
    let mut ready = status(done, fine, "True");
    ready["phase"] = json!("Running");
    let (model, _) = says(ready, "ServingReady", "Ready").await;
    assert_eq!(phase(&model), "Ready");
}

#[tokio::test]
async fn a_model_without_replicas_is_idle() {
    let cluster = Cluster::shared().await;
    let _operator = cluster.operate().await;
    cluster.apply(&model("qwen3", "  serving: {replicas: 0}\n")).await;
    cluster.until("LLMModel", "qwen3", "it is idle", |it| phase(it) == "Idle").await;
    cluster.until_says("LLMModel", "qwen3", "ServingReady", "ScaledToZero").await;
}

#[tokio::test]
async fn what_somebody_else_has_is_left_alone_and_the_model_says_so() {
    let cluster = Cluster::shared().await;
    let _operator = cluster.operate().await;
    cluster.kubectl(&["create", "service", "clusterip", "qwen3", "--tcp=80"]).await;
    let before = cluster.get("Service", "qwen3").await;
    cluster.apply(&model("qwen3", "")).await;
    let said = cluster.until_says("LLMModel", "qwen3", "Accepted", "NameTaken").await;
    assert!(said.contains("Service") && said.contains("another application"), "{said}");
    assert_eq!(cluster.get("Service", "qwen3").await, before);
}

#[tokio::test]
async fn a_model_waits_for_its_token() {
    let cluster = Cluster::shared().await;
    let _operator = cluster.operate().await;
    let gated =
        model("qwen3", "").replace("source: hugging", "authSecretName: hub, source: hugging");
    cluster.apply(&gated).await;
    cluster.until_says("LLMModel", "qwen3", "Accepted", "SecretMissing").await;
    assert!(cluster.get("Deployment", "qwen3").await.is_null());
    cluster.kubectl(&["create", "secret", "generic", "hub", "--from-literal=OTHER=x"]).await;
    cluster.until_says("LLMModel", "qwen3", "Accepted", "SecretKeyMissing").await;
    cluster.kubectl(&["patch", "secret", "hub", "-p", r#"{"stringData":{"HF_TOKEN":"t"}}"#]).await;
    cluster.until_says("LLMModel", "qwen3", "Accepted", "Accepted").await;
    cluster.until("Deployment", "qwen3", "it is there", is_there).await;
}

#[tokio::test]
async fn the_older_of_two_models_has_the_id() {
    let cluster = Cluster::shared().await;
    let _operator = cluster.operate().await;
    let named = |name: &str| model(name, "").replace(&format!("example/{name}"), "example/same");
    cluster.apply(&named("older")).await;
    cluster.until("Deployment", "older", "it is there", is_there).await;
    cluster.apply(&named("aaa-younger")).await;
    // Names break a tie of the same second, so whichever lost says whom it lost to.
    let verdict = async || {
        let models =
            [cluster.get("LLMModel", "older").await, cluster.get("LLMModel", "aaa-younger").await];
        let reasons = models.map(|it| condition(&it, "Accepted")["reason"].clone());
        reasons.contains(&json!("ModelIdTaken")) && reasons.contains(&json!("Accepted"))
    };
    llm_cluster::wait_for("one of them has the id", DEADLINE, verdict).await.unwrap();
}

#[tokio::test]
async fn the_finalizer_of_an_earlier_release_is_taken_off() {
    let cluster = Cluster::shared().await;
    let operator = cluster.watch().await;
    let finalizer = "\nmetadata:\n  finalizers: [llm.nebari.dev/cleanup, example.org/mine]";
    cluster.apply(&model("qwen3", "").replace("\nmetadata:", finalizer)).await;
    operator.lead();
    let only_mine = |it: &Value| it["metadata"]["finalizers"] == json!(["example.org/mine"]);
    cluster.until("LLMModel", "qwen3", "ours is gone", only_mine).await;
}
