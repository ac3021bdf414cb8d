//! One operator at a time writes to the cluster, whoever ends.

use crate::{
    link::{self, Link},
    support::{DEADLINE, Place, STEADY, assert_unnoticed},
};
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease};
use kube::api::ListParams;
use llm_cluster::{Request, wait_for};
use llm_crd::LLMModel;
use llm_scale::{clock, resources::model};
use std::time::Duration;

/// A leader that is seen to be silent for 15 s counts as gone; others look every 3 s. The rest is
/// for a busy machine.
const LEASE_MAX: Duration = Duration::from_secs(40);
const PROGRAMMED: &str = "RouteProgrammed";

/// Waits until every operator has every proxy, and the route is said to be in force on them all.
/// One that comes later is waited for, and until then something else is said.
async fn programmed(place: &Place) {
    let proxies = place.proxies.len();
    for operator in &place.operators {
        let connected = async || {
            let metrics = operator.metrics().await.unwrap();
            metrics.get("llm_operator_proxies_connected") == proxies as f64
        };
        wait_for("the proxies are connected", DEADLINE, connected).await.unwrap();
    }
    let all = Some(("True".to_owned(), format!("in force on all proxies ({proxies})")));
    let programmed = async || place.condition(STEADY, PROGRAMMED).await == all;
    wait_for("the route is said to be programmed", DEADLINE, programmed).await.unwrap();
}

/// Who holds a lease, if anybody does.
async fn holders(place: &Place) -> Vec<String> {
    let leases = place.it.api::<Lease>().list(&ListParams::default()).await.unwrap();
    leases.into_iter().filter_map(|lease| lease.spec?.holder_identity).collect()
}

#[tokio::test]
async fn when_the_leader_dies_the_other_leads_within_the_lease_and_routes_stay_programmed() {
    let mut place = Place::with(2, 3).await;
    let leader = place.leader().await;
    programmed(&place).await;
    let load = place.load();

    place.operators.remove(leader).kill().unwrap();
    let died = clock::now();

    let leads = async || {
        let (status, message) = place.condition(STEADY, PROGRAMMED).await.unwrap();
        assert_eq!(status, "True", "{message}");
        place.operators[0].leads().await
    };
    wait_for("the other leads", LEASE_MAX, leads).await.unwrap();
    println!("leads after {:?}", clock::now() - died);
    place.adds("after").await;
    assert_unnoticed(&load.stop().await);
}

#[tokio::test]
async fn a_leader_that_stops_hands_over_at_once() {
    let mut place = Place::with(2, 3).await;
    let leader = place.leader().await;
    programmed(&place).await;
    let load = place.load();

    let told = clock::now();
    let leader = place.operators.remove(leader);
    let name = leader.name.clone();
    assert!(holders(&place).await.contains(&name));
    leader.stop().await.unwrap();
    let stopped = clock::now();
    println!("stopped after {:?}", stopped - told);

    // It has given the lease back; whoever looks next leads.
    assert!(!holders(&place).await.contains(&name));
    wait_for("the other leads", DEADLINE, async || place.operators[0].leads().await).await.unwrap();
    println!("leads after {:?}", clock::now() - stopped);
    place.adds("after").await;
    assert_unnoticed(&load.stop().await);
    assert_eq!(place.condition(STEADY, PROGRAMMED).await.unwrap().0, "True");
}

#[tokio::test]
async fn how_many_proxies_have_a_route_is_said_when_all_have_it() {
    programmed(&Place::with(2, 3).await).await;
}

/// Waits until a model has been made into a Deployment, and made known.
async fn serves(place: &Place, name: &str) {
    place.it.put::<LLMModel>(&model(name).unwrap()).await.unwrap();
    let there = async || place.it.api::<Deployment>().get(name).await.is_ok();
    wait_for("its Deployment is there", DEADLINE, there).await.unwrap();
}

fn over_the_link(place: &Place) -> Vec<Request> {
    let requests = place.it.plane.requests().unwrap().into_iter();
    requests.filter(|it| it.source == link::SOURCE).collect()
}

/// Every replica asks whose the tokens of its proxies are, which is a write in name only.
fn writes(request: &Request) -> bool {
    let verb = ["create", "update", "patch", "delete"].contains(&request.verb.as_str());
    verb && request.code < 400 && request.resource != "tokenreviews"
}

#[tokio::test]
async fn a_leader_that_is_cut_off_writes_nothing_while_another_leads() {
    let mut place = Place::with(0, 0).await;
    let link = Link::to(link::server(&place.it.kubeconfig)).await;
    let kubeconfig = place.it.path("linked.kubeconfig");
    link.kubeconfig(&place.it.kubeconfig, &kubeconfig);
    place.operators.push(place.it.operator_with(&kubeconfig).await.unwrap());
    assert_eq!(place.leader().await, 0);
    place.add_operator().await;
    serves(&place, "before").await;

    for round in ["one", "two"] {
        // The leader is about to write, or has begun to, when it is cut off.
        place.it.put::<LLMModel>(&model(&format!("{round}-cut")).unwrap()).await.unwrap();
        link.cut();
        let cut = clock::now();
        let leads = async || {
            // In this order: the one that is cut off cannot lead anew, but it may lead no longer.
            let other = place.operators[1].leads().await;
            assert!(!(other && place.operators[0].leads().await), "two lead at once");
            other
        };
        wait_for("the other leads", LEASE_MAX, leads).await.unwrap();
        println!("leads after {:?}", clock::now() - cut);
        let before = over_the_link(&place).len();
        serves(&place, &format!("{round}-cut")).await;
        link.mend();
        let mended = over_the_link(&place).len();
        serves(&place, &format!("{round}-mended")).await;
        let follows = async || {
            let since = over_the_link(&place).split_off(mended);
            let did = |verb: &str, resource: &str| {
                since.iter().any(|it| it.verb == verb && it.resource == resource)
            };
            did("watch", "llmmodels") && did("get", "leases")
        };
        wait_for("it sees what happens, and who leads", DEADLINE, follows).await.unwrap();
        let since = over_the_link(&place).split_off(before);
        let wrote: Vec<_> = since.iter().filter(|it| writes(it)).collect();
        assert!(wrote.is_empty(), "the one that was cut off wrote {wrote:#?}");

        // It leads again, for the next round.
        let other = place.operators.remove(1);
        other.stop().await.unwrap();
        wait_for("it leads again", DEADLINE, async || place.operators[0].leads().await)
            .await
            .unwrap();
        serves(&place, &format!("{round}-again")).await;
        place.add_operator().await;
    }
}
