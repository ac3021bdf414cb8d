//! Definitions that are installed late, or are those of an older release.

use crate::{
    models::model,
    support::{Cluster, DEADLINE, install, is_there, phase},
};
use kube::api::{Patch, PatchParams};
use llm_cluster::wait_for;
use serde_json::{Value, json};

/// What an older release did not know, as patches of its definition.
const OLDER: &str = r#"[
    {"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/replicas"},
    {"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/endpoints"},
    {"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/aliases"}
]"#;
const CRD: &str = "crd/llmmodels.llm.nebari.dev";

/// Whether the definition that the API server goes by knows aliases.
async fn knows_aliases(cluster: &Cluster) -> bool {
    let alias = json!({
        "apiVersion": "llm.nebari.dev/v1alpha1",
        "kind": "LLMModel",
        "metadata": {"name": "qwen3"},
        "spec": {"aliases": ["q"]},
    });
    let params = PatchParams { dry_run: true, ..PatchParams::apply("test") };
    cluster.api("LLMModel").patch("qwen3", &params, &Patch::Apply(&alias)).await.is_ok()
}

#[tokio::test]
async fn an_operator_that_is_there_before_its_kinds_waits_for_them() {
    let cluster = Cluster::bare().await;
    let operator = cluster.operate().await;
    let asked = async || cluster.requests().iter().any(|it| it.verb == "list" && it.code == 404);
    wait_for("it has asked for kinds that are not there", DEADLINE, asked).await.unwrap();
    assert!(!*operator.context.cluster.synced.borrow());
    install(&cluster.plane).await;
    cluster.apply(&model("qwen3", "")).await;
    cluster.until("Deployment", "qwen3", "it is there", is_there).await;
    cluster.until_says("LLMModel", "qwen3", "Accepted", "Accepted").await;
}

#[tokio::test]
async fn under_older_definitions_models_are_served_and_statuses_lack_only_what_those_do_not_know() {
    let cluster = Cluster::alone().await;
    let newer = async || knows_aliases(&cluster).await;
    let older = async || !knows_aliases(&cluster).await;
    cluster.apply(&model("qwen3", "")).await;
    wait_for("the definitions know aliases", DEADLINE, newer).await.unwrap();
    cluster.kubectl(&["patch", CRD, "--type=json", "-p", OLDER]).await;
    wait_for("the older definitions are in force", DEADLINE, older).await.unwrap();
    let _operator = cluster.operate().await;
    cluster.until("Deployment", "qwen3", "it is there", is_there).await;
    cluster.until_says("LLMModel", "qwen3", "ServingReady", "Unschedulable").await;
    let model_now = cluster.until("LLMModel", "qwen3", "it starts", |it| phase(it) == "Starting");
    assert_eq!(model_now.await["status"]["replicas"], Value::Null);
    cluster.settle().await;

    install(&cluster.plane).await;
    wait_for("the definitions know aliases", DEADLINE, newer).await.unwrap();
    cluster.apply(&model("qwen3", "  aliases: [q]\n")).await;
    let whole = |it: &Value| it["status"]["replicas"]["desired"] == 1;
    cluster.until("LLMModel", "qwen3", "its status is whole", whole).await;
}
