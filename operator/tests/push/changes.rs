//! A change in the cluster is soon in force on every proxy.

use crate::support::{BUSY_MAX, CHANGE_MAX, DEADLINE, TestBed, assert_no_errors};
use llm_cluster::{Durations, clock, resources, soak, wait_for, wait_for_status};
use std::net::Ipv4Addr;

/// Changes, normally and in the long form.
const CHANGES: (usize, usize) = (20, 100);
const MOVES: u8 = 20;

#[tokio::test]
async fn a_change_is_in_force_on_five_proxies_within_a_second_and_disturbs_no_client() {
    let testbed = TestBed::with(2, 5).await;
    let addresses = testbed.addresses();
    let load = testbed.load();
    let mut durations = Durations::default();

    for number in 0..soak::rounds(CHANGES.0, CHANGES.1) {
        let id = format!("change-{number}");
        testbed.installation.apply(&testbed.provider("changing", &[&id])).await.unwrap();
        let accepted = clock::now();
        let reached =
            wait_for_status(&addresses, &testbed.client, &id, 200, DEADLINE).await.unwrap();
        durations.extend(reached.into_iter().map(|at| at - accepted));
    }

    println!("change in force: {durations}");
    assert_no_errors(&load.stop().await);
    testbed.wait_for_status("change-0", 404).await;
    assert!(durations.per_mille(500) < CHANGE_MAX, "{durations}");
    assert!(durations.per_mille(900) < BUSY_MAX, "{durations}");
}

#[tokio::test]
async fn the_proxies_know_where_the_replicas_of_a_model_are_as_they_move() {
    let testbed = TestBed::with(1, 2).await;
    testbed.installation.apply(&resources::model("moving").unwrap()).await.unwrap();
    let mut durations = Durations::default();

    for number in 1..=MOVES {
        let address = Ipv4Addr::new(192, 0, 2, number);
        testbed
            .installation
            .apply(&resources::endpoints("moving", &[address]).unwrap())
            .await
            .unwrap();
        let accepted = clock::now();
        let there = format!("http://{address}:8000");
        for proxy in &testbed.proxies {
            let knows = async || proxy.table().await.unwrap().to_string().contains(&there);
            wait_for("the proxy knows the address", DEADLINE, knows).await.unwrap();
            durations.push(clock::now() - accepted);
        }
    }

    println!("endpoint in force, polled every 50 ms: {durations}");
    let table = testbed.proxies[0].table().await.unwrap().to_string();
    assert!(!table.contains("192.0.2.1:"), "{table}");
    assert!(durations.per_mille(500) < CHANGE_MAX, "{durations}");
    assert!(durations.per_mille(900) < BUSY_MAX, "{durations}");
}
