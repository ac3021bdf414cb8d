//! What the older pack left, on a real API server. The kinds of Envoy are stand-ins: nothing there
//! acts on them, so the tests do what their controllers would.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use llm_cluster::{ControlPlane, wait_for, wait_for_some};
use llm_crd::Reason;
use llm_operator::legacy::Mode;
use std::{sync::Arc, time::Duration};
use support::{Cluster, DEADLINE, GOES, STAYS};

/// Long enough for whatever goes to be gone.
const QUIET: Duration = Duration::from_secs(3);

/// That nothing happens takes a while to see.
async fn quiet() {
    tokio::time::timeout(QUIET, std::future::pending::<()>()).await.unwrap_err();
}

#[tokio::test]
async fn at_first_it_is_said_what_would_go_and_nothing_goes() {
    let cluster = Cluster::start().await;
    cluster.make_model("qwen3").await;
    cluster.apply(GOES, "qwen3").await;
    let _running = cluster.run(Mode::DryRun, Some(Reason::Applied)).await;
    cluster.program("qwen3").await;
    let said = async || {
        let events = cluster.kubectl(&["get", "events", "--output=yaml"]).await;
        events.contains("reason: LegacyFound")
            && events.contains("InferencePool")
            && events.contains("qwen3-epp")
    };
    wait_for("an event", DEADLINE, said).await.unwrap();
    quiet().await;
    assert_eq!(cluster.there(GOES, "qwen3").await.len(), 18);
}

#[tokio::test]
async fn a_model_is_cleaned_up_after_once_the_proxies_serve_it_and_in_a_safe_order() {
    let cluster = Cluster::start().await;
    for name in ["qwen3", "waits"] {
        cluster.make_model(name).await;
        cluster.apply(GOES, name).await;
        cluster.apply(STAYS, name).await;
    }
    let _running = cluster.run(Mode::Remove, Some(Reason::Applied)).await;
    quiet().await;
    assert_eq!(cluster.there(GOES, "qwen3").await.len(), 18, "the proxies do not serve it yet");

    cluster.program("qwen3").await;
    cluster.until_gone(GOES, "qwen3").await;
    assert_eq!(cluster.there(STAYS, "qwen3").await.len(), 7);
    assert_eq!(cluster.there(GOES, "waits").await.len(), 18);

    let places = async || {
        let deleted = cluster.deleted();
        [
            "aigatewayroutes qwen3-external",
            "httproutes qwen3-external",
            "securitypolicies qwen3-external-auth",
            "inferencepools qwen3",
            "services qwen3-epp",
        ]
        .into_iter()
        .map(|wanted| deleted.iter().position(|it| it == wanted))
        .collect::<Option<Vec<_>>>()
    };
    let places = wait_for_some("all is on record", DEADLINE, places).await.unwrap();
    let [ai, http, policy, pool, service] = places.as_slice() else { panic!("{places:?}") };
    assert!([ai, http, policy, service].is_sorted(), "{:?}", cluster.deleted());
    assert!(pool < service, "{:?}", cluster.deleted());

    cluster.program("waits").await;
    cluster.until_gone(GOES, "waits").await;
}

#[tokio::test]
async fn what_deleted_models_left_goes_once_both_entries_work() {
    let cluster = Cluster::start().await;
    cluster.apply(GOES, "gone").await;
    cluster.apply(STAYS, "gone").await;
    let running = cluster.run(Mode::Remove, Some(Reason::GatewayMissing)).await;
    quiet().await;
    assert_eq!(cluster.there(GOES, "gone").await.len(), 18);
    running.edge(Reason::Applied);
    cluster.until_gone(GOES, "gone").await;
    assert_eq!(cluster.there(STAYS, "gone").await.len(), 7, "keys above all");
}

#[tokio::test]
async fn a_policy_waits_for_a_route_that_its_controller_holds() {
    let cluster = Cluster::start().await;
    cluster.apply(GOES, "gone").await;
    let hold = r#"--patch={"metadata":{"finalizers":["example.org/held"]}}"#;
    let free = r#"--patch={"metadata":{"finalizers":null}}"#;
    cluster.kubectl(&["patch", "httproute", "gone-external", "--type=merge", hold]).await;
    let _running = cluster.run(Mode::Remove, Some(Reason::Applied)).await;
    let rest = async || cluster.there(GOES, "gone").await.len() == 14;
    wait_for("the other route and its policy to go", DEADLINE, rest).await.unwrap();
    quiet().await;
    let left = cluster.there(GOES, "gone").await;
    assert!(
        left.contains(&"securitypolicy.gateway.envoyproxy.io/gone-external-auth".to_owned()),
        "{left:?}"
    );
    assert!(
        left.contains(&"inferencepool.inference.networking.k8s.io/gone".to_owned()),
        "{left:?}"
    );
    cluster.kubectl(&["patch", "httproute", "gone-external", "--type=merge", free]).await;
    cluster.until_gone(GOES, "gone").await;
}

#[tokio::test]
async fn what_another_installation_has_in_another_namespace_stays() {
    let cluster = Cluster::start().await;
    let other = Cluster::on(Arc::clone(&cluster.plane)).await;
    cluster.apply(GOES, "gone").await;
    other.apply(GOES, "gone").await;
    let _running = cluster.run(Mode::Remove, Some(Reason::Applied)).await;
    cluster.until_gone(GOES, "gone").await;
    assert_eq!(other.there(GOES, "gone").await.len(), 18);
}

#[tokio::test]
async fn a_grant_for_keys_in_another_namespace_goes_too() {
    let mut cluster = Cluster::start().await;
    let keys = Cluster::on(Arc::clone(&cluster.plane)).await;
    let other = Cluster::on(Arc::clone(&cluster.plane)).await;
    let grant = |namespace: &str| {
        let grant = GOES.split("---\n").find(|it| it.contains("kind: ReferenceGrant")).unwrap();
        grant.replace("NAMESPACE", namespace)
    };
    let (ours, theirs) = (grant(&cluster.namespace), grant(&other.namespace));
    keys.apply(&ours, "gone").await;
    keys.apply(&theirs, "gone").await;
    cluster.keys_namespace = Some(keys.namespace.clone());
    let _running = cluster.run(Mode::Remove, Some(Reason::Applied)).await;
    keys.until_gone(&ours, "gone").await;
    assert_eq!(keys.there(&theirs, "gone").await.len(), 1, "of a namespace that is not watched");
}

#[tokio::test]
async fn what_is_to_be_kept_is_not_even_looked_for() {
    let cluster = Cluster::start().await;
    cluster.apply(GOES, "gone").await;
    let _running = cluster.run(Mode::Keep, Some(Reason::Applied)).await;
    quiet().await;
    assert_eq!(cluster.there(GOES, "gone").await.len(), 18);
    assert_eq!(cluster.deleted(), [""; 0]);
}

#[tokio::test]
async fn a_cluster_without_any_of_the_kinds_is_cleaned_up_too() {
    let plane = ControlPlane::options().without_workload_controllers().start().await.unwrap();
    let cluster = Cluster::on(Arc::new(plane)).await;
    cluster.install_own_kinds().await;
    let built_in = |manifests: &str| -> String {
        let built_in = |it: &&str| {
            ["apiVersion: v1\n", "apiVersion: apps/", "apiVersion: rbac."]
                .iter()
                .any(|api| it.contains(api))
        };
        manifests.split("---\n").filter(built_in).collect::<Vec<_>>().join("---\n")
    };
    let goes = built_in(GOES);
    cluster.apply(&goes, "gone").await;
    assert_eq!(cluster.there(&goes, "gone").await.len(), 6);
    let _running = cluster.run(Mode::Remove, Some(Reason::Applied)).await;
    cluster.until_gone(&goes, "gone").await;
}
