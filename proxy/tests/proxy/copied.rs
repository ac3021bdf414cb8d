//! The cached table: a proxy that starts without an operator serves it.

use crate::{
    actors::{MODEL, sim},
    operator::{Authority, Operator, routes},
    pushed::{Following, me, model},
    support::{LIMITS, Proxy, eventually},
};
use llm_contract::Table;
use llm_proxy::control_plane::TableApplier;
use llm_sim::Config;
use std::{fs, path::Path, sync::Arc};

/// A proxy that starts with the cache in this folder, without an operator.
fn restarted(folder: &Path) -> (Proxy, Arc<TableApplier>) {
    let proxy = Proxy::without_table(LIMITS);
    let applier = TableApplier::new(Arc::clone(&proxy.gateway), Table::BYTES_MAX);
    applier.enable_cache(folder).unwrap();
    (proxy, applier)
}

fn file(folder: &Path) -> std::path::PathBuf {
    folder.join("table/table.journal")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_without_an_operator_serves_the_cached_table() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let following = Following::start(&authority, &[&operator]).await;
    let folder = tempfile::tempdir().unwrap();
    following.applier.enable_cache(folder.path()).unwrap();
    operator.put([me(), model(MODEL, &sim), model("gone", &sim)]);
    operator.until_applied().await;
    operator.remove(routes("gone"));
    operator.put([(routes(MODEL), serde_json::json!({ "rotues": [] }))]);
    operator.until_applied().await;
    following.end().await;
    let (proxy, _feed) = restarted(folder.path());
    assert!(proxy.gateway.tables.is_loaded());
    assert_eq!(
        proxy.chat(MODEL).await.status(),
        200,
        "the last good routes of a rejected document"
    );
    assert_eq!(proxy.chat("gone").await.status(), 404);
    let metrics = proxy.gateway.metrics.text();
    assert!(metrics.contains("\nllm_proxy_control_resources_refused 1\n"), "{metrics}");
    assert!(metrics.contains("\nllm_proxy_control_table_age_seconds "), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_proxy_gets_the_changes_since_its_cached_table() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let folder = tempfile::tempdir().unwrap();
    let following = Following::start(&authority, &[&operator]).await;
    following.applier.enable_cache(folder.path()).unwrap();
    operator.put([me(), model(MODEL, &sim)]);
    operator.until_applied().await;
    following.end().await;
    let following = Following::cached_in(&authority, &[&operator], folder.path()).await;
    operator.put([model("later", &sim)]);
    operator.until_applied().await;
    assert_eq!(following.proxy.chat(MODEL).await.status(), 200);
    assert_eq!(operator.streams().iter().map(|it| it.snapshots).sum::<usize>(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_cache_is_not_used_and_replaced_later() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let folder = tempfile::tempdir().unwrap();
    let following = Following::start(&authority, &[&operator]).await;
    following.applier.enable_cache(folder.path()).unwrap();
    operator.put([me(), model(MODEL, &sim)]);
    operator.until_applied().await;
    following.end().await;
    let mut bytes = fs::read(file(folder.path())).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file(folder.path()), &bytes).unwrap();
    let (proxy, applier) = restarted(folder.path());
    assert!(!proxy.gateway.tables.is_loaded(), "not even the part before the corruption");
    assert_eq!(proxy.chat(MODEL).await.status(), 503);
    let metrics = proxy.gateway.metrics.text();
    assert!(metrics.contains("\nllm_proxy_table_copy_failures_total 1\n"), "{metrics}");
    drop((proxy, applier));
    let following = Following::cached_in(&authority, &[&operator], folder.path()).await;
    operator.until_applied().await;
    eventually(|| fs::read(file(folder.path())).unwrap() != bytes).await;
    following.end().await;
    let (proxy, _feed) = restarted(folder.path());
    assert_eq!(proxy.chat(MODEL).await.status(), 200);
}
