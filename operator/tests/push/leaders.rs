//! One operator at a time writes to the cluster, whichever of them ends.

use crate::{
    link::{self, Link},
    support::{DEADLINE, STEADY, TestBed, assert_no_errors},
};
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease};
use kube::api::ListParams;
use llm_cluster::{AuditedRequest, clock, resources::model, wait_for};
use llm_crd::LLMModel;
use std::time::Duration;

/// A leader that is seen to be silent for 15 s counts as gone; others look every 3 s. The rest is
/// for a busy machine.
const LEASE_MAX: Duration = Duration::from_secs(40);
const PROGRAMMED: &str = "RouteProgrammed";

/// Waits until every operator has every proxy, and the route is said to be in force on them all.
/// One that comes later is waited for, and until then something else is said.
async fn programmed(testbed: &TestBed) {
    let proxies = testbed.proxies.len();
    for operator in &testbed.operators {
        let connected = async || {
            let metrics = operator.metrics().await.unwrap();
            metrics.get("llm_operator_proxies_connected") == proxies as f64
        };
        wait_for("the proxies are connected", DEADLINE, connected).await.unwrap();
    }
    let all = Some(("True".to_owned(), format!("in force on all proxies ({proxies})")));
    let programmed = async || testbed.condition(STEADY, PROGRAMMED).await == all;
    wait_for("the route is said to be programmed", DEADLINE, programmed).await.unwrap();
}

/// Who holds a lease, if anybody does.
async fn holders(testbed: &TestBed) -> Vec<String> {
    let leases = testbed.installation.api::<Lease>().list(&ListParams::default()).await.unwrap();
    leases.into_iter().filter_map(|lease| lease.spec?.holder_identity).collect()
}

#[tokio::test]
async fn when_the_leader_dies_the_other_leads_within_the_lease_and_routes_stay_programmed() {
    let mut testbed = TestBed::with(2, 3).await;
    let leader = testbed.leader().await;
    programmed(&testbed).await;
    let load = testbed.load();

    testbed.operators.remove(leader).kill().unwrap();
    let died = clock::now();

    let leads = async || {
        let (status, message) = testbed.condition(STEADY, PROGRAMMED).await.unwrap();
        assert_eq!(status, "True", "{message}");
        testbed.operators[0].is_leader().await
    };
    wait_for("the other leads", LEASE_MAX, leads).await.unwrap();
    println!("leads after {:?}", clock::now() - died);
    testbed.add_model("after").await;
    assert_no_errors(&load.stop().await);
}

#[tokio::test]
async fn a_leader_that_stops_hands_over_at_once() {
    let mut testbed = TestBed::with(2, 3).await;
    let leader = testbed.leader().await;
    programmed(&testbed).await;
    let load = testbed.load();

    let told = clock::now();
    let leader = testbed.operators.remove(leader);
    let name = leader.name.clone();
    assert!(holders(&testbed).await.contains(&name));
    leader.stop().await.unwrap();
    let stopped = clock::now();
    println!("stopped after {:?}", stopped - told);

    // It has released the lease; the next that looks leads.
    assert!(!holders(&testbed).await.contains(&name));
    wait_for("the other leads", DEADLINE, async || testbed.operators[0].is_leader().await)
        .await
        .unwrap();
    println!("leads after {:?}", clock::now() - stopped);
    testbed.add_model("after").await;
    assert_no_errors(&load.stop().await);
    assert_eq!(testbed.condition(STEADY, PROGRAMMED).await.unwrap().0, "True");
}

#[tokio::test]
async fn how_many_proxies_have_a_route_is_said_when_all_have_it() {
    programmed(&TestBed::with(2, 3).await).await;
}

/// Waits until a model has been made into a Deployment, and made known.
async fn serves(testbed: &TestBed, name: &str) {
    testbed.installation.apply::<LLMModel>(&model(name).unwrap()).await.unwrap();
    let there = async || testbed.installation.api::<Deployment>().get(name).await.is_ok();
    wait_for("its Deployment is there", DEADLINE, there).await.unwrap();
}

fn over_the_link(testbed: &TestBed) -> Vec<AuditedRequest> {
    testbed.installation.plane.requests(|it| it.source == link::SOURCE).unwrap()
}

/// Every replica asks whose the tokens of its proxies are, which is a write in name only.
fn writes(request: &AuditedRequest) -> bool {
    let verb = ["create", "update", "patch", "delete"].contains(&request.verb.as_str());
    verb && request.code < 400 && request.resource != "tokenreviews"
}

#[tokio::test]
async fn a_leader_that_is_cut_off_writes_nothing_while_another_leads() {
    let mut testbed = TestBed::with(0, 0).await;
    let link = Link::to(link::server(&testbed.installation.kubeconfig)).await;
    let kubeconfig = testbed.installation.path("linked.kubeconfig");
    link.kubeconfig(&testbed.installation.kubeconfig, &kubeconfig);
    testbed.operators.push(testbed.installation.operator_with(&kubeconfig).await.unwrap());
    assert_eq!(testbed.leader().await, 0);
    testbed.add_operator().await;
    serves(&testbed, "before").await;

    for round in ["one", "two"] {
        // The leader is about to write, or has begun to, when it is cut off.
        testbed
            .installation
            .apply::<LLMModel>(&model(&format!("{round}-cut")).unwrap())
            .await
            .unwrap();
        link.cut();
        let cut = clock::now();
        let leads = async || {
            // In this order: the one that is cut off cannot lead anew, but it may lead no longer.
            let other = testbed.operators[1].is_leader().await;
            assert!(!(other && testbed.operators[0].is_leader().await), "two lead at once");
            other
        };
        wait_for("the other leads", LEASE_MAX, leads).await.unwrap();
        println!("leads after {:?}", clock::now() - cut);
        let before = over_the_link(&testbed).len();
        serves(&testbed, &format!("{round}-cut")).await;
        link.mend();
        let mended = over_the_link(&testbed).len();
        serves(&testbed, &format!("{round}-mended")).await;
        let follows = async || {
            let since = over_the_link(&testbed).split_off(mended);
            let did = |verb: &str, resource: &str| {
                since.iter().any(|it| it.verb == verb && it.resource == resource)
            };
            did("watch", "llmmodels") && did("get", "leases")
        };
        wait_for("it sees what happens, and who leads", DEADLINE, follows).await.unwrap();
        let since = over_the_link(&testbed).split_off(before);
        let wrote: Vec<_> = since.iter().filter(|it| writes(it)).collect();
        assert!(wrote.is_empty(), "the one that was cut off wrote {wrote:#?}");

        // It leads again, for the next round.
        let other = testbed.operators.remove(1);
        other.stop().await.unwrap();
        wait_for("it leads again", DEADLINE, async || testbed.operators[0].is_leader().await)
            .await
            .unwrap();
        serves(&testbed, &format!("{round}-again")).await;
        testbed.add_operator().await;
    }
}
