//! The marker: its content, when it counts, and which files are removed.

use crate::{
    hub::{Hub, Model},
    program::{Program, Volume},
};
use serde_json::json;
use std::net::Ipv4Addr;
use tokio::net::TcpSocket;

fn one() -> Model {
    Model::new('a', &[("config.json", 300), ("a.bin", 9000), ("same.bin", 0)])
}

fn two() -> Model {
    Model::new('b', &[("config.json", 280), ("b.bin", 7000), ("same.bin", 0)])
}

#[tokio::test]
async fn the_marker_lists_the_files() {
    let (model, volume) = (Model::new('a', &[("a.txt", 0)]), Volume::new());
    let hub = Hub::start(&model).await;
    let program = Program::fetch(&hub, &volume).args(["--include", "*.txt", "--include", "*.bin"]);
    program.succeed().await;
    let expected = json!({
        "repository": "acme/tiny", "revision": "main", "commit": "a".repeat(40),
        "include": ["*.bin", "*.txt"], "exclude": [],
        "files": { "a.txt": {
            "size": 0, "checksum": "git-sha1:e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
        } },
    });
    assert_eq!(volume.marker(), Some(expected));
}

#[tokio::test]
async fn with_a_marker_of_the_commit_the_hub_is_not_asked() {
    let (model, volume) = (one(), Volume::new());
    let hub = Hub::start(&model).await;
    Program::fetch(&hub, &volume).succeed().await;
    let before = hub.requests().len();
    Program::fetch(&hub, &volume).args(["--revision", &model.commit]).succeed().await;
    assert_eq!(hub.requests().len(), before);
    volume.assert_exactly(&model);
}

#[tokio::test]
async fn with_a_marker_of_the_branch_the_hub_is_asked_once_and_nothing_is_downloaded() {
    let (model, volume) = (one(), Volume::new());
    let hub = Hub::start(&model).await;
    Program::fetch(&hub, &volume).succeed().await;
    let (requests, sent) = (hub.requests().len(), hub.sent());
    Program::fetch(&hub, &volume).succeed().await;
    assert_eq!((hub.requests().len(), hub.sent()), (requests + 1, sent));
}

#[tokio::test]
async fn a_pod_restarts_while_the_hub_is_down() {
    let (model, volume) = (one(), Volume::new());
    let hub = Hub::start(&model).await;
    Program::fetch(&hub, &volume).succeed().await;
    // Bound but not listening: connections are refused, and no other process gets the port.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let down = format!("http://{}", closed.local_addr().unwrap());
    let program = Program::new().env("HF_ENDPOINT", &down).args(["acme/tiny"]).to(&volume.root);
    let output = program.succeed().await;
    assert!(output.stderr.contains("warning: the hub is not available"), "{}", output.stderr);
    let other = Program::new().env("HF_ENDPOINT", &down).args(["acme/tiny", "--revision", "v2"]);
    other.to(&volume.root).fail(69).await;
    volume.assert_exactly(&model);
}

#[tokio::test]
async fn a_pod_restarts_although_the_hub_now_refuses() {
    let (model, volume) = (one(), Volume::new());
    let hub = Hub::start(&model).await;
    Program::fetch(&hub, &volume).succeed().await;
    hub.set_fault("", crate::hub::Fault::status(403));
    let output = Program::fetch(&hub, &volume).succeed().await;
    assert!(output.stderr.contains("warning: the hub refuses acme/tiny"), "{}", output.stderr);
    Program::fetch(&hub, &volume).args(["--exclude", "a.bin"]).fail(65).await;
    volume.assert_exactly(&model);
}

#[tokio::test]
async fn weights_of_another_revision_replace_the_old_ones() {
    let (old, new, volume) = (one(), two(), Volume::new());
    let hub = Hub::start(&old).await;
    hub.publish("v2", &new);
    Program::fetch(&hub, &volume).succeed().await;
    volume.put("notes/mine.txt", b"mine");
    Program::fetch(&hub, &volume).args(["--revision", "v2"]).succeed().await;
    let files = volume.files();
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        ["b.bin", "config.json", "notes/mine.txt", "same.bin"]
    );
    assert_eq!(files["config.json"], new.files["config.json"]);
}

#[tokio::test]
async fn files_of_an_abandoned_download_are_removed() {
    let (first, second, volume) = (one(), two(), Volume::new());
    let hub = Hub::start(&first).await;
    hub.publish("v2", &second);
    hub.set_fault("config.json", crate::hub::Fault::status(404));
    Program::fetch(&hub, &volume).args(["--max-workers", "1"]).fail(65).await;
    assert_eq!(volume.files().keys().collect::<Vec<_>>(), ["a.bin"]);
    assert_eq!(volume.marker(), None);
    hub.set_fault("config.json", crate::hub::Fault::WholeFile);
    Program::fetch(&hub, &volume).args(["--revision", "v2"]).succeed().await;
    volume.assert_exactly(&second);
}

#[tokio::test]
async fn a_marker_without_its_files_does_not_count() {
    let (model, volume) = (one(), Volume::new());
    let hub = Hub::start(&model).await;
    Program::fetch(&hub, &volume).succeed().await;
    std::fs::remove_file(volume.root.join("a.bin")).unwrap();
    Program::fetch(&hub, &volume).args(["--revision", &model.commit]).succeed().await;
    volume.assert_exactly(&model);
    assert_eq!(hub.requests_for("config.json").len(), 1);
}

#[tokio::test]
async fn a_damaged_marker_is_ignored() {
    let (model, volume) = (one(), Volume::new());
    let hub = Hub::start(&model).await;
    volume.put(".llm-download.json", br#"{"files":{"../../etc/passwd":{}}}"#);
    Program::fetch(&hub, &volume).succeed().await;
    volume.assert_exactly(&model);
}
