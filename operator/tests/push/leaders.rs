//! One operator at a time writes to the cluster, whoever ends.

use crate::support::{DEADLINE, Place, STEADY, assert_unnoticed};
use llm_cluster::wait_for;
use llm_scale::clock;
use std::time::Duration;

/// A leader that is seen to be silent for 15 s counts as gone; others look every 3 s.
const LEASE_MAX: Duration = Duration::from_secs(25);
/// A leader that stops gives the lease back; others look every 3 s.
const HANDOVER_MAX: Duration = Duration::from_secs(5);
const PROGRAMMED: &str = "RouteProgrammed";

async fn programmed(place: &Place) {
    let programmed = async || {
        place.condition(STEADY, PROGRAMMED).await.is_some_and(|(status, _)| status == "True")
    };
    wait_for("the route is said to be programmed", DEADLINE, programmed).await.unwrap();
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
    place.operators.remove(leader).stop().await.unwrap();
    let stopped = clock::now();
    println!("stopped after {:?}", stopped - told);

    wait_for("the other leads", HANDOVER_MAX, async || place.operators[0].leads().await)
        .await
        .unwrap();
    println!("leads after {:?}", clock::now() - stopped);
    place.adds("after").await;
    assert_unnoticed(&load.stop().await);
    assert_eq!(place.condition(STEADY, PROGRAMMED).await.unwrap().0, "True");
}

#[tokio::test]
async fn how_many_proxies_have_a_route_is_said_when_all_have_it() {
    let place = Place::with(2, 3).await;
    let all = async || {
        let said = place.condition(STEADY, PROGRAMMED).await;
        said == Some(("True".into(), "in force on all proxies (3)".into()))
    };
    wait_for("it is said of all proxies", DEADLINE, all).await.unwrap();
}
