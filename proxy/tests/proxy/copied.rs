//! The copy of the table on disk: a proxy that starts while no operator answers serves from it.

use crate::{
    actors::{MODEL, sim},
    operator::{Authority, Operator, routes},
    pushed::{Following, me, model},
    support::{LIMITS, Proxy, eventually},
};
use llm_contract::Table;
use llm_proxy::control_plane::Feed;
use llm_sim::Config;
use std::{fs, path::Path, sync::Arc};

/// A proxy that starts with what is in this folder; no operator answers.
fn restarted(folder: &Path) -> (Proxy, Arc<Feed>) {
    let proxy = Proxy::without_table(LIMITS);
    let feed = Feed::new(Arc::clone(&proxy.shared), Table::BYTES_MAX);
    feed.keep_in(folder).unwrap();
    (proxy, feed)
}

fn file(folder: &Path) -> std::path::PathBuf {
    folder.join("table/table.journal")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_without_an_operator_serves_what_was_in_force() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let following = Following::start(&authority, &[&operator]).await;
    let folder = tempfile::tempdir().unwrap();
    following.feed.keep_in(folder.path()).unwrap();
    operator.put([me(), model(MODEL, &sim), model("gone", &sim)]);
    operator.until_in_force().await;
    operator.remove(routes("gone"));
    operator.put([(routes(MODEL), serde_json::json!({ "rotues": [] }))]);
    operator.until_in_force().await;
    following.end().await;
    let (proxy, _feed) = restarted(folder.path());
    assert!(!proxy.shared.tables.is_empty());
    assert_eq!(proxy.chat(MODEL).await.status(), 200, "the last good one of what was refused");
    assert_eq!(proxy.chat("gone").await.status(), 404);
    let metrics = proxy.shared.metrics.text();
    assert!(metrics.contains("\nllm_proxy_control_resources_refused 1\n"), "{metrics}");
    assert!(metrics.contains("\nllm_proxy_control_table_age_seconds "), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sends_to_a_proxy_that_restarted_what_it_lacks() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let folder = tempfile::tempdir().unwrap();
    let following = Following::start(&authority, &[&operator]).await;
    following.feed.keep_in(folder.path()).unwrap();
    operator.put([me(), model(MODEL, &sim)]);
    operator.until_in_force().await;
    following.end().await;
    let following = Following::kept_in(&authority, &[&operator], folder.path()).await;
    operator.put([model("later", &sim)]);
    operator.until_in_force().await;
    assert_eq!(following.proxy.chat(MODEL).await.status(), 200);
    assert_eq!(operator.streams().iter().map(|it| it.wholes).sum::<usize>(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_not_used_and_replaced_when_the_operator_comes() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let folder = tempfile::tempdir().unwrap();
    let following = Following::start(&authority, &[&operator]).await;
    following.feed.keep_in(folder.path()).unwrap();
    operator.put([me(), model(MODEL, &sim)]);
    operator.until_in_force().await;
    following.end().await;
    let mut bytes = fs::read(file(folder.path())).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file(folder.path()), &bytes).unwrap();
    let (proxy, feed) = restarted(folder.path());
    assert!(proxy.shared.tables.is_empty(), "not even half of it");
    assert_eq!(proxy.chat(MODEL).await.status(), 503);
    let metrics = proxy.shared.metrics.text();
    assert!(metrics.contains("\nllm_proxy_table_copy_failures_total 1\n"), "{metrics}");
    drop((proxy, feed));
    let following = Following::kept_in(&authority, &[&operator], folder.path()).await;
    operator.until_in_force().await;
    eventually(|| fs::read(file(folder.path())).unwrap() != bytes).await;
    following.end().await;
    let (proxy, _feed) = restarted(folder.path());
    assert_eq!(proxy.chat(MODEL).await.status(), 200);
}
