//! Definitions that are installed late, or are those of an older release.

use crate::{
    models::model,
    support::{Cluster, DEADLINE, install, is_there, phase},
};
use llm_cluster::wait_for;
use serde_json::Value;

/// What an older release did not know, as patches of its definition.
const OLDER: &str = r#"[
    {"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/replicas"},
    {"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/endpoints"},
    {"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/aliases"}
]"#;
const CRD: &str = "crd/llmmodels.llm.nebari.dev";

#[tokio::test]
async fn an_operator_that_is_there_before_its_kinds_waits_for_them() {
    let cluster = Cluster::bare().await;
    let operator = cluster.operate().await;
    let asked = async || cluster.requests().iter().any(|it| it.verb == "list" && it.code == 404);
    wait_for("it has asked for kinds that are not there", DEADLINE, asked).await.unwrap();
    assert!(!*operator.context.world.synced.borrow());
    install(&cluster.plane).await;
    cluster.apply(&model("qwen3", "")).await;
    cluster.until("Deployment", "qwen3", "it is there", is_there).await;
    cluster.until_says("LLMModel", "qwen3", "Accepted", "Accepted").await;
}

#[tokio::test]
async fn under_older_definitions_models_are_served_and_statuses_lack_only_what_those_do_not_know() {
    let cluster = Cluster::alone().await;
    let newer = model("qwen3", "  aliases: [q]\n");
    let aliases = |it: &Value| it["spec"]["aliases"].clone();
    cluster.apply(&newer).await;
    cluster.kubectl(&["patch", CRD, "--type=json", "-p", OLDER]).await;
    let older = |it: &Value| is_there(it) && aliases(it).is_null();
    cluster.until("LLMModel", "qwen3", "it is read as the older release did", older).await;
    let _operator = cluster.operate().await;
    cluster.until("Deployment", "qwen3", "it is there", is_there).await;
    cluster.until_says("LLMModel", "qwen3", "ServingReady", "Unschedulable").await;
    let model_now = cluster.until("LLMModel", "qwen3", "it starts", |it| phase(it) == "Starting");
    assert_eq!(model_now.await["status"]["replicas"], Value::Null);
    cluster.settle().await;

    install(&cluster.plane).await;
    let known = async || {
        cluster.try_apply(&newer).await;
        is_there(&aliases(&cluster.get("LLMModel", "qwen3").await))
    };
    wait_for("the schema is whole", DEADLINE, known).await.unwrap();
    let whole = |it: &Value| it["status"]["replicas"]["desired"] == 1;
    cluster.until("LLMModel", "qwen3", "its status is whole", whole).await;
}
