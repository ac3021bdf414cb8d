//! What is made of the events of a watch.

use super::*;
use crate::{
    app::settings::{Images, Pods, Scope, Settings},
    cluster_state::{kinds, start},
};
use futures::stream;
use kube::{Client, Config, core::DeserializeGuard};
use llm_crd::{EndpointUrls, LLMModel};
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

type Event = watcher::Event<DeserializeGuard<LLMModel>>;

/// A follower whose feed can be read, and who asks nobody.
fn follower(namespace: Option<&str>) -> (Follower<kinds::Models>, mpsc::Receiver<Seen>) {
    let client = Client::try_from(Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    let settings = Settings {
        scope: Scope::Namespaces([].into()),
        images: Images { serving: String::new(), downloader: String::new() },
        storage_class: None,
        proxies: Pods { namespace: String::new(), labels: [].into() },
        monitoring_namespace: None,
        older_gateways: [].into(),
        urls: EndpointUrls::default(),
    };
    let stop = CancellationToken::new();
    stop.cancel();
    let (world, _) = start(&client, &settings, Vec::new(), &TaskTracker::new(), &stop);
    let (feed, seen) = mpsc::channel(64);
    let namespace = namespace.map(str::to_owned);
    (Follower { watched: kinds::Models, namespace, world, feed }, seen)
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

fn unreadable(namespace: &str, name: &str, version: u32) -> DeserializeGuard<LLMModel> {
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

/// What is told of some events, in order.
async fn told(
    follower: &Follower<kinds::Models>,
    seen: &mut mpsc::Receiver<Seen>,
    events: Vec<Event>,
) -> Vec<String> {
    follower.follow(stream::iter(events.into_iter().map(Ok)), || ()).await;
    let mut told = Vec::new();
    while let Ok(seen) = seen.try_recv() {
        if let Seen::Model(name, _) = &seen {
            told.push(name.to_string());
        }
        if let Seen::ModelGone(name) = &seen {
            told.push(format!("{name} gone"));
        }
    }
    told.sort();
    told
}

#[tokio::test]
async fn a_list_that_is_read_anew_tells_only_what_differs() {
    let (follower, mut seen) = follower(None);
    let first = list(&[("a", "x", 1), ("a", "y", 1), ("b", "z", 1)]);
    assert_eq!(told(&follower, &mut seen, first).await, ["a/x", "a/y", "b/z"]);
    let second = list(&[("a", "x", 1), ("a", "y", 2)]);
    assert_eq!(told(&follower, &mut seen, second).await, ["a/y", "b/z gone"]);
}

#[tokio::test]
async fn a_list_that_breaks_off_takes_nothing_away() {
    let (follower, mut seen) = follower(None);
    told(&follower, &mut seen, list(&[("a", "x", 1), ("a", "y", 1)])).await;
    let mut broken = list(&[("a", "x", 1)]);
    broken.pop();
    assert_eq!(told(&follower, &mut seen, broken.clone()).await, [""; 0]);
    // And the next one begins from nothing.
    broken.extend(list(&[("a", "y", 1)]));
    assert_eq!(told(&follower, &mut seen, broken).await, ["a/x gone"]);
}

#[tokio::test]
async fn a_list_of_one_namespace_says_nothing_of_another() {
    let (mut follower, mut seen) = follower(None);
    told(&follower, &mut seen, list(&[("a", "x", 1), ("b", "y", 1)])).await;
    follower.namespace = Some("a".into());
    assert_eq!(told(&follower, &mut seen, list(&[])).await, ["a/x gone"]);
}

#[tokio::test]
async fn a_resource_that_cannot_be_read_keeps_its_last_good_version() {
    let (follower, mut seen) = follower(None);
    told(&follower, &mut seen, list(&[("a", "x", 1)])).await;
    let name = ResourceName::parse("a/x").unwrap();
    let broken = watcher::Event::Apply(unreadable("a", "x", 2));
    assert_eq!(told(&follower, &mut seen, vec![broken]).await, [""; 0]);
    assert!(follower.world.models.contains(&name));
    assert!(follower.world.unreadable("LLMModel", &name).is_some());
    let listed = vec![
        watcher::Event::Init,
        watcher::Event::InitApply(unreadable("a", "x", 2)),
        watcher::Event::InitDone,
    ];
    assert_eq!(told(&follower, &mut seen, listed).await, [""; 0]);
    let good = watcher::Event::Apply(model("a", "x", 3));
    assert_eq!(told(&follower, &mut seen, vec![good]).await, ["a/x"]);
    assert_eq!(follower.world.unreadable("LLMModel", &name), None);
    let gone = watcher::Event::Delete(model("a", "x", 4));
    assert_eq!(told(&follower, &mut seen, vec![gone]).await, ["a/x gone"]);
}

#[tokio::test]
async fn whoever_waits_is_told_when_a_list_is_complete() {
    let (follower, _seen) = follower(None);
    let times = AtomicU32::new(0);
    let mut events = list(&[]);
    events.extend(list(&[]));
    let events = stream::iter(events.into_iter().map(Ok));
    let count = || {
        times.fetch_add(1, Ordering::Relaxed);
    };
    follower.follow(events, count).await;
    assert_eq!(times.into_inner(), 2);
}
