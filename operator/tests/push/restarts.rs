//! Operators and proxies that end and begin again.

use crate::support::{CLIENT_KEY, DEADLINE, STEADY, TestBed, assert_no_errors};
use llm_cluster::{resources, wait_for};
use std::time::Duration;

/// How often operators are killed.
const KILLS: usize = 10;
const KILL_INTERVAL: Duration = Duration::from_secs(1);
/// Running streams when a proxy is told to stop.
const STREAMS: usize = 20;

/// Waits until the first proxy has on disk what it has in force, which comes after it.
async fn written_down(testbed: &TestBed) {
    let proxy = &testbed.proxies.first().unwrap().name;
    let copy = testbed.installation.path(&format!("{proxy}.state/table/table.journal"));
    let key = resources::key(CLIENT_KEY).unwrap().id();
    let whole = async || {
        let copy = std::fs::read(&copy).unwrap_or_default();
        let copy = String::from_utf8_lossy(&copy);
        copy.contains(STEADY) && copy.contains(key.as_str())
    };
    wait_for("the table is on disk", DEADLINE, whole).await.unwrap();
}

#[tokio::test]
async fn a_proxy_that_begins_again_serves_without_an_operator() {
    let mut testbed = TestBed::with(1, 1).await;
    written_down(&testbed).await;
    testbed.operators.remove(0).kill().unwrap();

    let proxy = &mut testbed.proxies[0];
    proxy.restart().unwrap();
    proxy.wait_until_ready().await.unwrap();

    testbed.wait_for_status(STEADY, 200).await;
    let metrics = testbed.proxies[0].metrics().await.unwrap();
    assert_eq!(metrics.get("llm_proxy_control_connected"), 0.0);
    assert!(metrics.get("llm_proxy_control_table_age_seconds") > 0.0);

    testbed.add_operator().await;
    testbed.add_model("after").await;
}

#[tokio::test]
async fn proxies_go_on_with_the_table_they_have_when_the_operator_begins_again() {
    let mut testbed = TestBed::with(1, 5).await;
    let load = testbed.load();
    let first = testbed.operators.remove(0);
    let sent = first.metrics().await.unwrap().get("llm_operator_push_whole_tables_total");
    assert_eq!(sent, 5.0);
    first.kill().unwrap();

    testbed.add_operator().await;
    testbed.wait_for_followers(5).await;

    let metrics = testbed.operators[0].metrics().await.unwrap();
    assert_eq!(metrics.get("llm_operator_push_whole_tables_total"), 0.0);
    testbed.add_model("after").await;
    let metrics = testbed.operators[0].metrics().await.unwrap();
    assert_eq!(metrics.get("llm_operator_push_whole_tables_total"), 0.0);
    assert_no_errors(&load.stop().await);
}

#[tokio::test]
async fn operators_that_die_every_second_disturb_no_caller() {
    let mut testbed = TestBed::with(2, 3).await;
    let load = testbed.load();
    let mut kills = tokio::time::interval(KILL_INTERVAL);

    for _ in 0..KILLS {
        kills.tick().await;
        let oldest = testbed.operators.remove(0);
        oldest.kill().unwrap();
        testbed.add_operator().await;
    }

    testbed.wait_for_followers(3).await;
    testbed.add_model("after").await;
    assert_no_errors(&load.stop().await);
}

#[tokio::test]
async fn a_proxy_that_is_told_to_stop_ends_what_it_has_begun() {
    let mut testbed = TestBed::with(1, 2).await;
    let mut leaving = testbed.proxies.remove(1);
    let client = testbed.client.clone();
    let (there, before) = (leaving.external_address(), testbed.upstream.state().received);
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..STREAMS {
        let client = client.clone();
        streams.spawn(async move { client.chat(there, STEADY, true).await });
    }
    let all = before + STREAMS as u64;
    testbed.upstream.wait_until(|upstream| all <= upstream.received).await.unwrap();

    leaving.process.terminate().unwrap();

    while let Some(ended) = streams.join_next().await {
        ended.unwrap().unwrap();
    }
    assert!(leaving.process.wait().await.unwrap().success());
    testbed.wait_for_status(STEADY, 200).await;
}
