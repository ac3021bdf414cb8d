//! The authority that proxies trust.

use crate::support::{Cluster, DEADLINE};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, api::DeleteParams};
use llm_cluster::wait_for_some;
use llm_operator::proxies::{AUTHORITY, AuthorityStore, maintain};
use tokio_util::sync::CancellationToken;

/// The root that is stored, once it is the one that is published.
async fn root(cluster: &Cluster, but: Option<&str>) -> String {
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    wait_for_some("the authority is published", DEADLINE, async || {
        let stored = secrets.get_opt(AUTHORITY).await.unwrap()?.data?.remove("tls.crt")?;
        let published = maps.get_opt(AUTHORITY).await.unwrap()?.data?.remove("ca.crt")?;
        (stored.0 == published.as_bytes() && but != Some(&published)).then_some(published)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn an_authority_that_somebody_removes_is_there_again() {
    let cluster = Cluster::shared().await;
    let published = AuthorityStore::new(cluster.client.clone(), &cluster.namespace);
    let stop = CancellationToken::new();
    let removed = async {
        let first = root(&cluster, None).await;
        let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        maps.delete(AUTHORITY, &DeleteParams::default()).await.unwrap();
        assert_eq!(root(&cluster, None).await, first);
        let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        secrets.delete(AUTHORITY, &DeleteParams::default()).await.unwrap();
        root(&cluster, Some(&first)).await;
        stop.cancel();
    };
    tokio::join!(maintain(&published, &stop), removed);
}
