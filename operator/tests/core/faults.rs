//! An API server that goes away, a history that is forgotten, an operator that is killed.

use crate::{
    models::model,
    support::{Cluster, DEADLINE, is_there},
};
use kube::api::ListParams;
use serde_json::Value;
use std::time::Duration;

const KILLS: u64 = 100;

#[tokio::test]
async fn an_api_server_that_was_away_is_caught_up_with() {
    let cluster = Cluster::alone().await;
    let operator = cluster.operate().await;
    for name in ["a", "b"] {
        cluster.apply(&model(name, "")).await;
        cluster.until("Deployment", name, "it is there", is_there).await;
    }
    cluster.settle().await;
    for _ in 0..2 {
        cluster.plane.stop_api_server().await.unwrap();
        cluster.plane.start_api_server().await.unwrap();
        // At once, while the watches still wait: what they miss is in no stream any more.
        cluster.kubectl(&["delete", "service", "a"]).await;
        cluster.kubectl(&["scale", "deployment/b", "--replicas=3"]).await;
        cluster.kubectl(&["delete", "llmmodel/b"]).await;
        cluster.plane.etcd_compact().await.unwrap();
        cluster.until("Service", "a", "it is back", is_there).await;
        cluster.until_gone("Deployment", "b").await;
        let name = format!("{}/b", cluster.namespace);
        let forgotten = async || operator.document(&name).is_empty();
        llm_cluster::wait_for("its routes are gone", DEADLINE, forgotten).await.unwrap();
        cluster.apply(&model("b", "")).await;
        let one = |it: &Value| it["spec"]["replicas"] == 1;
        cluster.until("Deployment", "b", "it is made anew", one).await;
    }
    let uid = cluster.get("Deployment", "a").await["metadata"]["generation"].clone();
    assert_eq!(uid, 1, "what nobody touched was never written again");
}

#[tokio::test]
async fn an_operator_that_is_killed_anywhere_leaves_nothing_half_done() {
    let cluster = Cluster::shared().await;
    let manifest =
        |replicas: u64| model("qwen3", &format!("  serving: {{replicas: {replicas}}}\n"));
    for round in 0..KILLS {
        let operator = cluster.operate().await;
        if round % 10 == 9 {
            cluster.kubectl(&["delete", "llmmodel/qwen3", "--wait=false"]).await;
        } else {
            cluster.apply(&manifest(round % 3)).await;
        }
        // From before the first request to after the last.
        let life = Duration::from_millis(round * 7);
        drop(tokio::time::timeout(life, std::future::pending::<()>()).await);
        operator.stop().await;
    }
    let _operator = cluster.operate().await;
    cluster.until_gone("LLMModel", "qwen3").await;
    for kind in ["Deployment", "Service", "NetworkPolicy"] {
        let gone = async || {
            let selector = ListParams::default().labels("app.kubernetes.io/instance=qwen3");
            cluster.api(kind).list(&selector).await.unwrap().items.is_empty()
        };
        llm_cluster::wait_for("no orphan", DEADLINE, gone).await.unwrap();
    }
    cluster.apply(&manifest(2)).await;
    let two = |it: &Value| it["spec"]["replicas"] == 2;
    cluster.until("Deployment", "qwen3", "two replicas", two).await;
    cluster.until_says("LLMModel", "qwen3", "Accepted", "Accepted").await;
    cluster.settle().await;
}
