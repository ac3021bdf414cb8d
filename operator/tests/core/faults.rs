//! An API server that goes away, and a history that is forgotten.

use crate::{
    models::model,
    support::{Cluster, DEADLINE, is_there},
};
use serde_json::Value;

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
