//! While nothing changes nothing is asked, and what disturbs passes.

use crate::{
    models::{deployed_model, model},
    support::{Cluster, DEADLINE, is_there, phase},
};
use kube::api::ListParams;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a quiet operator is listened to. Longer than any wait of ours but the renewal of
/// watches.
const QUIET: Duration = Duration::from_secs(20);
const MODELS: usize = 100;

#[tokio::test]
async fn a_hundred_models_and_then_silence_also_from_the_next_operator() {
    let cluster = Cluster::alone().await;
    let operator = cluster.operate().await;
    let manifests: Vec<_> = (0..MODELS).map(|number| model(&format!("m{number}"), "")).collect();
    cluster.apply(&manifests.join("\n---\n")).await;
    let all = async || {
        let models = cluster.api("LLMModel").list(&ListParams::default()).await.unwrap().items;
        let starting = |it: &&kube::api::DynamicObject| {
            it.data
                .pointer("/status/conditions")
                .map(Value::to_string)
                .is_some_and(|it| it.contains("Unschedulable"))
        };
        models.iter().filter(starting).count() == MODELS
    };
    llm_cluster::wait_for("all are reported", DEADLINE * 2, all).await.unwrap();
    cluster.settle().await;
    let asked = cluster.requests().len();
    drop(tokio::time::timeout(QUIET, std::future::pending::<()>()).await);
    let mut since = cluster.requests().split_off(asked);
    // The API server may end a watch whenever it likes.
    since.retain(|it| it.verb != "watch");
    assert_eq!(since, [], "of {asked} requests in all");
    // For each of five objects a look and a write; a look at the model; some statuses and events.
    assert!(asked < MODELS * 24, "{asked} requests");

    operator.stop().await;
    let asked = cluster.requests().len();
    let _next = cluster.operate().await;
    cluster.settle().await;
    let writes = cluster.requests().split_off(asked).into_iter();
    let writes: Vec<_> =
        writes.filter(|it| !["list", "watch"].contains(&it.verb.as_str())).collect();
    assert_eq!(writes, [], "all is as it was");
}

#[tokio::test]
async fn a_resource_that_makes_no_sense_does_not_keep_others_from_being_served() {
    let cluster = Cluster::alone().await;
    // As a definition without a schema would store it.
    let open = r#"[{"op":"replace","path":"/spec/versions/0/schema/openAPIV3Schema","value":
        {"type":"object","x-kubernetes-preserve-unknown-fields":true}}]"#;
    for crd in ["llmmodels", "apikeys", "passthroughmodels"] {
        let crd = format!("crd/{crd}.llm.nebari.dev");
        cluster.kubectl(&["patch", &crd, "--type=json", "-p", open]).await;
    }
    let garbage = |kind: &str| {
        format!(
            "\napiVersion: llm.nebari.dev/v1alpha1\nkind: {kind}\nmetadata:\n  name: garbage\nspec: {{model: 7}}\n"
        )
    };
    for kind in ["LLMModel", "PassthroughModel", "ApiKey"] {
        let stored = async || {
            cluster.try_apply(&garbage(kind)).await;
            is_there(&cluster.get(kind, "garbage").await)
        };
        llm_cluster::wait_for("the schema is open", DEADLINE, stored).await.unwrap();
    }
    let _operator = cluster.operate().await;
    cluster.apply(&model("qwen3", "")).await;
    cluster.until("Deployment", "qwen3", "it is there", is_there).await;
    let said = cluster.until_says("LLMModel", "garbage", "Accepted", "InvalidSpec").await;
    assert!(said.starts_with("it cannot be read: "), "{said}");
    cluster.until_says("PassthroughModel", "garbage", "Accepted", "InvalidSpec").await;
    cluster.until_says("ApiKey", "garbage", "Active", "InvalidSpec").await;

    // A good model that is broken afterwards goes on as it was.
    let broken = r#"{"spec":{"model":7}}"#;
    cluster.kubectl(&["patch", "llmmodel", "qwen3", "--type=merge", "-p", broken]).await;
    cluster.until_says("LLMModel", "qwen3", "Accepted", "InvalidSpec").await;
    assert!(is_there(&cluster.get("Deployment", "qwen3").await));
    cluster.apply(&model("qwen3", "  serving: {replicas: 2}\n")).await;
    cluster.until_says("LLMModel", "qwen3", "Accepted", "Accepted").await;
    cluster.until("Deployment", "qwen3", "two replicas", |it| it["spec"]["replicas"] == 2).await;
}

#[tokio::test]
async fn what_another_manager_takes_is_taken_back_and_what_it_adds_stays() {
    let (cluster, _operator) = deployed_model().await;
    let other = "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: qwen3
spec:
  replicas: 5
  minReadySeconds: 7
  selector: {matchLabels: {app.kubernetes.io/instance: qwen3}}
  template:
    metadata: {labels: {example.org/team: ml}}
    spec:
      containers:
        - {name: vllm, env: [{name: THEIRS, value: x}]}
";
    cluster.apply(other).await;
    let ours = |it: &Value| it["spec"]["replicas"] == 1;
    let deployment = cluster.until("Deployment", "qwen3", "one replica", ours).await;
    let template = &deployment["spec"]["template"];
    assert_eq!(deployment["spec"]["minReadySeconds"], 7);
    assert_eq!(template["metadata"]["labels"]["example.org/team"], "ml");
    assert_eq!(template["spec"]["containers"][0]["env"][0]["name"], "THEIRS");
    cluster.settle().await;
}

#[tokio::test]
async fn a_kind_that_comes_later_is_used_and_one_that_goes_is_not_missed() {
    let cluster = Cluster::alone().await;
    let _operator = cluster.operate().await;
    let monitored = |name| model(name, "  serving: {monitoring: {enabled: true}}\n");
    cluster.apply(&monitored("qwen3")).await;
    cluster.until("Deployment", "qwen3", "it is there", is_there).await;
    cluster.plane.install_foreign_crds().await.unwrap();
    cluster.until("PodMonitor", "qwen3", "it is there", is_there).await;
    cluster.kubectl(&["delete", "crd", "podmonitors.monitoring.coreos.com"]).await;
    cluster.apply(&monitored("other")).await;
    cluster.until("LLMModel", "other", "it starts", |it| phase(it) == "Starting").await;
    cluster.plane.install_foreign_crds().await.unwrap();
    for model in ["qwen3", "other"] {
        cluster.until("PodMonitor", model, "it is there", is_there).await;
    }
}

#[tokio::test]
async fn every_replica_compiles_the_same_table() {
    let cluster = Cluster::shared().await;
    let (leader, other) = (cluster.operate().await, cluster.watch().await);
    cluster.apply(&model("qwen3", "  aliases: [q]\n")).await;
    cluster.until("Service", "qwen3", "it is there", is_there).await;
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "qwen3-test",
            "namespace": cluster.namespace,
            "labels": {
                "kubernetes.io/service-name": "qwen3",
                "app.kubernetes.io/managed-by": "nebari-llm-operator",
            },
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8000}],
        "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": true}}],
    });
    cluster.plane.apply(&slice.to_string()).await.unwrap();
    let name = format!("{}/qwen3", cluster.namespace);
    for operator in [&leader, &other] {
        let routed = async || operator.document(&name).contains("http://10.1.2.3:8000");
        llm_cluster::wait_for("the endpoint is in the table", DEADLINE, routed).await.unwrap();
    }
    let same = async || leader.table.digest() == other.table.digest();
    llm_cluster::wait_for("both tables are the same", DEADLINE, same).await.unwrap();
    cluster.kubectl(&["delete", "endpointslice", "qwen3-test"]).await;
    let gone = async || !other.document(&name).contains("10.1.2.3");
    llm_cluster::wait_for("the endpoint is gone", DEADLINE, gone).await.unwrap();
}
