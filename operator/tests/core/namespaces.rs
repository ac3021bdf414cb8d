//! Which namespaces count.

use crate::{
    providers::OPEN,
    support::{Cluster, DEADLINE, Operator},
};
use llm_cluster::wait_for;
use llm_contract::push::{Kind, Name};
use llm_operator::app::settings::{OperatorSettings, WatchScope};

const KEY: &str = "
apiVersion: llm.nebari.dev/v1alpha1
kind: ApiKey
metadata:
  name: fbcdefgh2345
spec:
  displayName: test
  clientId: test
  owner: {team: llm}
  hash: $argon2id$v=19$m=512,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
  models: [\"*\"]
";

#[tokio::test]
async fn where_all_namespaces_are_watched_only_those_with_the_label_are_in_the_table() {
    // Its own: it would tell the resources of other tests that they are not watched.
    let cluster = Cluster::alone().await;
    cluster.apply(OPEN).await;
    cluster.apply(KEY).await;
    let settings = OperatorSettings { scope: WatchScope::Labelled, ..cluster.settings() };
    let operator = Operator::start(&cluster.client, settings);
    operator.lead();
    cluster.until_says("PassthroughModel", "open", "Accepted", "NamespaceNotWatched").await;
    cluster.until_says("ApiKey", "fbcdefgh2345", "Active", "NamespaceNotWatched").await;
    let (name, key) = (format!("{}/open", cluster.namespace), Name::new(Kind::Key, "fbcdefgh2345"));
    let there = |there: bool| {
        let (operator, name, key) = (&operator, &name, &key);
        async move || {
            let has_key = operator.table.documents().get(key).is_some();
            operator.routes().contains(name) == there && has_key == there
        }
    };
    wait_for("nothing of it is in the table", DEADLINE, there(false)).await.unwrap();

    let namespace = format!("namespace/{}", cluster.namespace);
    cluster.kubectl(&["label", &namespace, "nebari.dev/managed=true"]).await;
    wait_for("all of it is in the table", DEADLINE, there(true)).await.unwrap();
    cluster.until_says("PassthroughModel", "open", "Accepted", "Accepted").await;
    cluster.until_says("ApiKey", "fbcdefgh2345", "Active", "NoModelLeft").await;

    cluster.kubectl(&["label", &namespace, "nebari.dev/managed-"]).await;
    wait_for("nothing of it is left in the table", DEADLINE, there(false)).await.unwrap();
}
