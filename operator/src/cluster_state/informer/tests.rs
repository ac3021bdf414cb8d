use super::*;
use crate::{
    app::settings::{Images, OperatorSettings, PodSelector, WatchScope},
    cluster_state::{LLM_MODEL, resources, start},
};
use futures::stream;
use kube::{Client, Config, core::DeserializeGuard};
use llm_crd::{EndpointUrls, LLMModel};
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

type Event = watcher::Event<DeserializeGuard<LLMModel>>;

/// An informer without an API server.
fn informer(namespace: Option<&str>) -> (Informer<resources::Models>, mpsc::Receiver<WatchEvent>) {
    let client = Client::try_from(Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    let settings = OperatorSettings {
        scope: WatchScope::Namespaces([].into()),
        images: Images { serving: String::new(), downloader: String::new() },
        storage_class: None,
        proxies: PodSelector { namespace: String::new(), labels: [].into() },
        monitoring_namespace: None,
        older_gateways: [].into(),
        urls: EndpointUrls::default(),
    };
    let stop = CancellationToken::new();
    stop.cancel();
    let (cluster, _) = start(&client, &settings, Vec::new(), &TaskTracker::new(), &stop);
    let (sender, events) = mpsc::channel(64);
    let namespace = namespace.map(str::to_owned);
    let informer = Informer {
        handler: resources::Models,
        kind: LLM_MODEL.into(),
        store: cluster.models.clone(),
        namespace,
        cluster,
        events: sender,
    };
    (informer, events)
}

fn model(namespace: &str, name: &str, version: u32) -> DeserializeGuard<LLMModel> {
    serde_json::from_value(json!({
        "apiVersion": "llm.nebari.dev/v1alpha1",
        "kind": "LLMModel",
        "metadata": {"namespace": namespace, "name": name, "resourceVersion": version.to_string()},
        "spec": {
            "model": {"name": "example/model", "source": "huggingface"},
            "resources": {"gpu": {"count": 0}},
            "access": {"public": true},
        },
    }))
    .unwrap()
}

fn undecodable(namespace: &str, name: &str, version: u32) -> DeserializeGuard<LLMModel> {
    let metadata =
        json!({"namespace": namespace, "name": name, "resourceVersion": version.to_string()});
    serde_json::from_value(json!({"metadata": metadata, "spec": 7})).unwrap()
}

fn list(models: &[(&str, &str, u32)]) -> Vec<Event> {
    let apply = models.iter().map(|(namespace, name, version)| {
        watcher::Event::InitApply(model(namespace, name, *version))
    });
    let mut events = vec![watcher::Event::Init];
    events.extend(apply);
    events.push(watcher::Event::InitDone);
    events
}

/// The changes that some watch events bring, sorted.
async fn changes(
    informer: &Informer<resources::Models>,
    receiver: &mut mpsc::Receiver<WatchEvent>,
    events: Vec<Event>,
) -> Vec<String> {
    informer.run(stream::iter(events.into_iter().map(Ok)), || ()).await;
    let mut changes = Vec::new();
    while let Ok(event) = receiver.try_recv() {
        if let WatchEvent::Model(name, model) = event {
            let suffix = if model.is_some() { "" } else { " deleted" };
            changes.push(format!("{name}{suffix}"));
        }
    }
    changes.sort();
    changes
}

#[tokio::test]
async fn a_new_list_changes_only_what_differs() {
    let (informer, mut receiver) = informer(None);
    let first = list(&[("a", "x", 1), ("a", "y", 1), ("b", "z", 1)]);
    assert_eq!(changes(&informer, &mut receiver, first).await, ["a/x", "a/y", "b/z"]);
    let second = list(&[("a", "x", 1), ("a", "y", 2)]);
    assert_eq!(changes(&informer, &mut receiver, second).await, ["a/y", "b/z deleted"]);
}

#[tokio::test]
async fn an_interrupted_list_removes_nothing() {
    let (informer, mut receiver) = informer(None);
    changes(&informer, &mut receiver, list(&[("a", "x", 1), ("a", "y", 1)])).await;
    let mut broken = list(&[("a", "x", 1)]);
    broken.pop();
    assert_eq!(changes(&informer, &mut receiver, broken.clone()).await, [""; 0]);
    // The next one starts from nothing.
    broken.extend(list(&[("a", "y", 1)]));
    assert_eq!(changes(&informer, &mut receiver, broken).await, ["a/x deleted"]);
}

#[tokio::test]
async fn a_list_of_one_namespace_does_not_affect_another() {
    let (mut informer, mut receiver) = informer(None);
    changes(&informer, &mut receiver, list(&[("a", "x", 1), ("b", "y", 1)])).await;
    informer.namespace = Some("a".into());
    assert_eq!(changes(&informer, &mut receiver, list(&[])).await, ["a/x deleted"]);
}

#[tokio::test]
async fn a_resource_that_cannot_be_decoded_keeps_its_last_good_version() {
    let (informer, mut receiver) = informer(None);
    changes(&informer, &mut receiver, list(&[("a", "x", 1)])).await;
    let name = ResourceName::parse("a/x").unwrap();
    let broken = watcher::Event::Apply(undecodable("a", "x", 2));
    assert_eq!(changes(&informer, &mut receiver, vec![broken]).await, [""; 0]);
    assert!(informer.cluster.models.contains(&name));
    assert!(informer.cluster.decode_error(LLM_MODEL, &name).is_some());
    let listed = vec![
        watcher::Event::Init,
        watcher::Event::InitApply(undecodable("a", "x", 2)),
        watcher::Event::InitDone,
    ];
    assert_eq!(changes(&informer, &mut receiver, listed).await, [""; 0]);
    let good = watcher::Event::Apply(model("a", "x", 3));
    assert_eq!(changes(&informer, &mut receiver, vec![good]).await, ["a/x"]);
    assert_eq!(informer.cluster.decode_error(LLM_MODEL, &name), None);
    let gone = watcher::Event::Delete(model("a", "x", 4));
    assert_eq!(changes(&informer, &mut receiver, vec![gone]).await, ["a/x deleted"]);
}

#[tokio::test]
async fn every_complete_list_counts_as_synced() {
    let (informer, _receiver) = informer(None);
    let times = AtomicU32::new(0);
    let mut events = list(&[]);
    events.extend(list(&[]));
    let events = stream::iter(events.into_iter().map(Ok));
    let count = || {
        times.fetch_add(1, Ordering::Relaxed);
    };
    informer.run(events, count).await;
    assert_eq!(times.into_inner(), 2);
}
