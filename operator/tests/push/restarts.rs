//! Operators and proxies that end and begin again.

use crate::support::{DEADLINE, OUR_KEY, Place, STEADY, assert_unnoticed};
use llm_cluster::wait_for;
use llm_scale::resources;
use std::time::Duration;

/// How often, and how long after each other, operators are killed.
const DEATHS: usize = 10;
const LIFE: Duration = Duration::from_secs(1);
/// Streams that run when a proxy is told to stop.
const STREAMS: usize = 20;

/// Waits until the first proxy has on disk what it has in force, which comes after it.
async fn written_down(place: &Place) {
    let proxy = &place.proxies.first().unwrap().name;
    let copy = place.it.path(&format!("{proxy}.state/table/table.journal"));
    let key = resources::key(OUR_KEY).unwrap().id();
    let whole = async || {
        let copy = std::fs::read(&copy).unwrap_or_default();
        let copy = String::from_utf8_lossy(&copy);
        copy.contains(STEADY) && copy.contains(key.as_str())
    };
    wait_for("the table is on disk", DEADLINE, whole).await.unwrap();
}

#[tokio::test]
async fn a_proxy_that_begins_again_serves_without_an_operator() {
    let mut place = Place::with(1, 1).await;
    written_down(&place).await;
    place.operators.remove(0).kill().unwrap();

    let proxy = &mut place.proxies[0];
    proxy.restart().unwrap();
    proxy.ready().await.unwrap();

    place.reaches(STEADY, 200).await;
    let metrics = place.proxies[0].metrics().await.unwrap();
    assert_eq!(metrics.get("llm_proxy_control_connected"), 0.0);
    assert!(metrics.get("llm_proxy_control_table_age_seconds") > 0.0);

    place.add_operator().await;
    place.adds("after").await;
}

#[tokio::test]
async fn proxies_go_on_with_the_table_they_have_when_the_operator_begins_again() {
    let mut place = Place::with(1, 5).await;
    let load = place.load();
    let first = place.operators.remove(0);
    let sent = first.metrics().await.unwrap().get("llm_operator_push_whole_tables_total");
    assert_eq!(sent, 5.0);
    first.kill().unwrap();

    place.add_operator().await;
    place.followed(5).await;

    let metrics = place.operators[0].metrics().await.unwrap();
    assert_eq!(metrics.get("llm_operator_push_whole_tables_total"), 0.0);
    place.adds("after").await;
    let metrics = place.operators[0].metrics().await.unwrap();
    assert_eq!(metrics.get("llm_operator_push_whole_tables_total"), 0.0);
    assert_unnoticed(&load.stop().await);
}

#[tokio::test]
async fn operators_that_die_every_second_disturb_no_caller() {
    let mut place = Place::with(2, 3).await;
    let load = place.load();
    let mut deaths = tokio::time::interval(LIFE);

    for _ in 0..DEATHS {
        deaths.tick().await;
        let oldest = place.operators.remove(0);
        oldest.kill().unwrap();
        place.add_operator().await;
    }

    place.followed(3).await;
    place.adds("after").await;
    assert_unnoticed(&load.stop().await);
}

#[tokio::test]
async fn a_proxy_that_is_told_to_stop_ends_what_it_has_begun() {
    let mut place = Place::with(1, 2).await;
    let mut leaving = place.proxies.remove(1);
    let caller = place.caller.clone();
    let (there, before) = (leaving.external(), place.upstream.state().received);
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..STREAMS {
        let caller = caller.clone();
        streams.spawn(async move { caller.chat(there, STEADY, true).await });
    }
    let all = before + STREAMS as u64;
    place.upstream.wait_until(|upstream| all <= upstream.received).await.unwrap();

    leaving.process.terminate().unwrap();

    while let Some(ended) = streams.join_next().await {
        ended.unwrap().unwrap();
    }
    assert!(leaving.process.ended(DEADLINE).await.unwrap().success());
    place.reaches(STEADY, 200).await;
}
