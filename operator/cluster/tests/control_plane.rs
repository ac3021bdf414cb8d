//! The control plane is a real one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams, WatchParams};
use llm_cluster::{ControlPlane, wait_for, wait_for_some};
use secrecy::{ExposeSecret as _, SecretString};

/// A control plane that is slower than this is of no use to anybody.
const START_DEADLINE: Duration = Duration::from_secs(180);
const DEADLINE: Duration = Duration::from_secs(180);
const TOKEN_LIFE: Duration = Duration::from_secs(600);

fn config_map(name: &str) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    map
}

#[tokio::test]
async fn a_deployment_becomes_a_replica_set_and_pending_pods_which_go_with_it() {
    let cluster = ControlPlane::shared().await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let client = cluster.client().await.unwrap();
    let deployment = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NAMESPACE}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: localhost/web:1}]}
";
    cluster.apply(&deployment.replace("NAMESPACE", &namespace)).await.unwrap();

    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let replica_sets: Api<ReplicaSet> = Api::namespaced(client, &namespace);
    let list = ListParams::default();
    let pending = |pod: &Pod| {
        pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Pending"))
    };
    wait_for("two Pods are pending", DEADLINE, async || {
        pods.list(&list).await.unwrap().iter().filter(|pod| pending(pod)).count() == 2
    })
    .await
    .unwrap();
    assert_eq!(replica_sets.list(&list).await.unwrap().items.len(), 1);

    cluster.kubectl(&["-n", &namespace, "delete", "deployment", "web"]).await.unwrap();
    wait_for("nothing is left", DEADLINE, async || {
        pods.list(&list).await.unwrap().items.is_empty()
            && replica_sets.list(&list).await.unwrap().items.is_empty()
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_object_is_collected_when_its_owner_is_gone() {
    let cluster = ControlPlane::shared().await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client().await.unwrap(), &namespace);
    let owner = maps.create(&PostParams::default(), &config_map("owner")).await.unwrap();
    let mut owned = config_map("owned");
    owned.metadata.owner_references = kube::Resource::owner_ref(&owner, &()).map(|it| vec![it]);
    maps.create(&PostParams::default(), &owned).await.unwrap();

    maps.delete("owner", &DeleteParams::default()).await.unwrap();

    wait_for("the owned object is gone", DEADLINE, async || {
        maps.get_opt("owned").await.unwrap().is_none()
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_token_is_good_for_its_audience_alone() {
    let cluster = ControlPlane::shared().await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let token = cluster.token(&namespace, "default", "proxies", TOKEN_LIFE).await.unwrap();

    let good = review(&cluster, &token, "proxies").await;
    assert_eq!(good.authenticated, Some(true));
    assert_eq!(
        good.user.unwrap().username,
        Some(format!("system:serviceaccount:{namespace}:default"))
    );
    let bad = review(&cluster, &token, "others").await;
    assert_eq!(bad.authenticated, None);
}

async fn review(cluster: &ControlPlane, token: &SecretString, audience: &str) -> TokenReviewStatus {
    let review = TokenReview {
        spec: TokenReviewSpec {
            token: token.expose_secret().to_owned(),
            audiences: Some(vec![audience.to_owned()]),
        },
        ..TokenReview::default()
    };
    let reviews: Api<TokenReview> = Api::all(cluster.client().await.unwrap());
    reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap()
}

#[tokio::test]
async fn a_service_account_may_do_what_its_role_says_and_its_requests_are_on_record() {
    let cluster = ControlPlane::shared().await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let role = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: NAMESPACE}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: default, namespace: NAMESPACE}]
";
    cluster.apply(&role.replace("NAMESPACE", &namespace)).await.unwrap();
    let client = cluster.client_as(&namespace, "default").await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    let before = cluster.requests_total("LIST", "configmaps").await.unwrap();

    wait_for("the role is in force", DEADLINE, async || {
        maps.list(&ListParams::default()).await.is_ok()
    })
    .await
    .unwrap();
    let refused = pods.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 403));

    let user = format!("system:serviceaccount:{namespace}:default");
    let refusal = wait_for_some("the refusal is on record", DEADLINE, async || {
        cluster.requests(|request| request.user == user && request.code == 403).unwrap().pop()
    })
    .await
    .unwrap();
    assert_eq!((refusal.verb.as_str(), refusal.resource.as_str()), ("list", "pods"));
    assert!(cluster.requests_total("LIST", "configmaps").await.unwrap() > before);
}

#[tokio::test]
async fn objects_of_foreign_kinds_can_be_made() {
    let cluster = ControlPlane::shared().await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    cluster.install_foreign_crds().await.unwrap();
    let objects = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: it, namespace: NAMESPACE}
spec: {rules: [{backendRefs: [{name: it, port: 80}]}]}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: it, namespace: NAMESPACE}
spec: {secretName: it, dnsNames: [example.com], issuerRef: {name: it}}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: it, namespace: NAMESPACE}
spec: {selector: {}, podMetricsEndpoints: [{port: metrics}]}
";
    cluster.apply(&objects.replace("NAMESPACE", &namespace)).await.unwrap();

    let kinds = "httproutes,certificates,podmonitors";
    let names = cluster.kubectl(&["-n", &namespace, "get", kinds, "-o", "name"]).await.unwrap();
    assert_eq!(names.lines().count(), 3, "{names}");
}

#[tokio::test]
async fn what_kubectl_does_not_like_is_in_the_error() {
    let cluster = ControlPlane::shared().await.unwrap();
    let error = cluster.kubectl(&["get", "unicorns"]).await.unwrap_err();
    assert!(error.to_string().contains("unicorns"), "{error}");
}

#[tokio::test]
async fn the_api_server_comes_back_with_its_data_and_without_what_was_compacted() {
    let start = ControlPlane::options().without_workload_controllers().start();
    let cluster = tokio::time::timeout(START_DEADLINE, start).await.unwrap().unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client().await.unwrap(), &namespace);
    let first = maps.create(&PostParams::default(), &config_map("first")).await.unwrap();
    maps.create(&PostParams::default(), &config_map("second")).await.unwrap();

    cluster.stop_api_server().await.unwrap();
    assert!(maps.get("first").await.is_err());
    cluster.etcd_compact().await.unwrap();
    cluster.start_api_server().await.unwrap();

    assert_eq!(maps.get("first").await.unwrap(), first);
    let version = first.metadata.resource_version.unwrap();
    assert_eq!(watch_code(&maps, &version).await, Some(410));
}

/// The status with which a watch is refused.
async fn watch_code(maps: &Api<ConfigMap>, version: &str) -> Option<u16> {
    use futures::StreamExt as _;
    let events = maps.watch(&WatchParams::default(), version).await.unwrap();
    match events.boxed().next().await.unwrap() {
        Ok(kube::core::WatchEvent::Error(status)) => Some(status.code),
        Ok(_) | Err(_) => None,
    }
}

#[tokio::test]
async fn a_cluster_is_gone_with_its_value() {
    let cluster = ControlPlane::options().without_workload_controllers().start().await.unwrap();
    let kubeconfig = cluster.kubeconfig().to_owned();
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> =
        Api::all(cluster.client().await.unwrap());
    assert!(namespaces.get("default").await.is_ok());

    drop(cluster);

    assert!(!kubeconfig.exists());
    assert!(namespaces.get("default").await.is_err());
}
