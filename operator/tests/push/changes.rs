//! A change in the cluster is soon in force on every proxy.

use crate::support::{BUSY_MAX, CHANGE_MAX, DEADLINE, Place, assert_unnoticed};
use llm_cluster::wait_for;
use llm_scale::{clock, figures::Figures, reach::reach, resources};
use std::net::Ipv4Addr;

const CHANGES: usize = 100;
const MOVES: u8 = 20;

#[tokio::test]
async fn a_change_is_in_force_on_five_proxies_within_a_second_and_nobody_else_notices() {
    let place = Place::with(2, 5).await;
    let addresses = place.addresses();
    let load = place.load();
    let mut figures = Figures::default();

    for number in 0..CHANGES {
        let id = format!("change-{number}");
        place.it.put(&place.provider("changing", &[&id])).await.unwrap();
        let accepted = clock::now();
        let reached = reach(&addresses, &place.caller, &id, 200, DEADLINE).await.unwrap();
        figures.extend(reached.into_iter().map(|at| at - accepted));
    }

    println!("change in force: {figures}");
    assert_unnoticed(&load.stop().await);
    place.reaches("change-0", 404).await;
    assert!(figures.per_mille(500) < CHANGE_MAX, "{figures}");
    assert!(figures.per_mille(900) < BUSY_MAX, "{figures}");
}

#[tokio::test]
async fn the_proxies_know_where_the_replicas_of_a_model_are_as_they_move() {
    let place = Place::with(1, 2).await;
    place.it.put(&resources::model("moving").unwrap()).await.unwrap();
    let mut figures = Figures::default();

    for number in 1..=MOVES {
        let address = Ipv4Addr::new(192, 0, 2, number);
        place.it.put(&resources::endpoints("moving", &[address]).unwrap()).await.unwrap();
        let accepted = clock::now();
        let there = format!("http://{address}:8000");
        for proxy in &place.proxies {
            let knows = async || proxy.table().await.unwrap().to_string().contains(&there);
            wait_for("the proxy knows the address", DEADLINE, knows).await.unwrap();
            figures.add(clock::now() - accepted);
        }
    }

    println!("endpoint in force, seen by looks 50 ms apart: {figures}");
    let table = place.proxies[0].table().await.unwrap().to_string();
    assert!(!table.contains("192.0.2.1:"), "{table}");
    assert!(figures.per_mille(500) < CHANGE_MAX, "{figures}");
    assert!(figures.per_mille(900) < BUSY_MAX, "{figures}");
}
