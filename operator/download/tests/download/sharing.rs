//! Several replicas on one volume.

use crate::{
    hub::{Fault, Gate, Hub, Model},
    program::{Program, Volume, eventually},
};
use futures::future::join_all;
use rustix::process::Signal;

const REPLICAS: usize = 8;

fn model() -> Model {
    Model::new('a', &[("config.json", 900), ("a.bin", 300_000), ("b.bin", 400_000), ("c.bin", 9)])
}

/// Waits until only `b.bin` is missing and has partial bytes.
async fn until_held(volume: &Volume) {
    eventually(|| volume.files().len() == 3 && volume.partial_bytes() >= 100_000).await;
}

#[tokio::test]
async fn eight_replicas_together_download_every_byte_once() {
    for lease_only in [false, true] {
        let (model, volume) = (model(), Volume::new());
        let hub = Hub::start(&model).await;
        let replica = || {
            let program = Program::fetch(&hub, &volume);
            if lease_only { program.args(["--lease-only"]) } else { program }
        };
        join_all((0..REPLICAS).map(|_| replica().succeed())).await;
        volume.assert_exactly(&model);
        assert_eq!(hub.sent(), model.bytes(), "lease only: {lease_only}");
    }
}

#[tokio::test]
async fn a_waiting_process_takes_over_at_once_from_a_killed_holder() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.queue_faults("b.bin", [Fault::Hold(200_000, Gate::new())]);
    let holder = Program::fetch(&hub, &volume).start();
    until_held(&volume).await;
    let before = hub.requests().len();
    // With the heartbeat alone this would take an hour.
    let waiter = Program::fetch(&hub, &volume).args(["--takeover-after", "1h"]).start();
    eventually(|| hub.requests().len() > before).await;
    holder.kill().await;
    let output = waiter.end().await;
    assert_eq!(output.code, Some(0), "{output:?}");
    volume.assert_exactly(&model);
    assert!(hub.requests_for("b.bin")[1].range.is_some(), "what was there has been fetched again");
}

#[tokio::test]
async fn a_live_holder_is_not_replaced_however_slow_it_is_and_the_waiting_process_says_so() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    let gate = Gate::new();
    hub.queue_faults("b.bin", [Fault::Hold(200_000, gate.clone())]);
    let program = || Program::fetch(&hub, &volume).args(["--takeover-after", "6s", "--lease-only"]);
    let holder = program().start();
    until_held(&volume).await;
    let before = hub.requests().len();
    let waiter = program().start();
    eventually(|| hub.requests().len() > before).await;
    let heartbeat = || {
        let mut folders = std::fs::read_dir(volume.root.join(".llm-download")).unwrap().flatten();
        let work = folders.find(|item| item.file_name().to_str().unwrap().starts_with("work-"));
        let text = std::fs::read_to_string(work?.path().join("heartbeat")).ok()?;
        u64::from_str_radix(&text, 16).ok()
    };
    // Twelve heartbeats take half as long again as the time after which it would be replaced.
    let mut first = None;
    eventually(|| heartbeat().is_some_and(|count| *first.get_or_insert(count) + 12 <= count)).await;
    gate.open();
    assert_eq!(holder.end().await.code, Some(0));
    let waited = waiter.end().await;
    assert_eq!(waited.code, Some(0), "{waited:?}");
    assert!(waited.stderr.contains("waiting for another process"), "{}", waited.stderr);
    assert!(waited.stdout.contains("\"waiting\""), "{}", waited.stdout);
    volume.assert_exactly(&model);
    assert_eq!(hub.sent(), model.bytes());
}

#[tokio::test]
async fn a_suspended_holder_finds_itself_replaced_and_does_no_harm() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    let gate = Gate::new();
    hub.queue_faults("b.bin", [Fault::Hold(200_000, gate.clone())]);
    let program = || Program::fetch(&hub, &volume).args(["--takeover-after", "1s", "--lease-only"]);
    let old = program().start();
    until_held(&volume).await;
    old.signal(Signal::STOP);
    // The bytes for the old one wait in its sockets.
    gate.open();
    program().succeed().await;
    volume.assert_exactly(&model);
    old.signal(Signal::CONT);
    let output = old.end().await;
    assert_eq!(output.code, Some(75), "{output:?}");
    volume.assert_exactly(&model);
}

#[tokio::test]
async fn a_killed_holder_is_replaced_without_flock_too() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.queue_faults("b.bin", [Fault::Hold(200_000, Gate::new())]);
    let program = || Program::fetch(&hub, &volume).args(["--takeover-after", "1s", "--lease-only"]);
    let holder = program().start();
    until_held(&volume).await;
    holder.kill().await;
    program().succeed().await;
    volume.assert_exactly(&model);
    assert!(hub.requests_for("b.bin")[1].range.is_some(), "what was there has been fetched again");
}

#[tokio::test]
async fn a_process_that_waited_accepts_the_weights_of_the_other_even_if_the_branch_has_moved() {
    let (old, new, volume) = (model(), Model::new('b', &[("n.bin", 1000)]), Volume::new());
    let hub = Hub::start(&old).await;
    let gate = Gate::new();
    hub.queue_faults("b.bin", [Fault::Hold(200_000, gate.clone())]);
    let holder = Program::fetch(&hub, &volume).start();
    until_held(&volume).await;
    let before = hub.requests().len();
    let waiter = Program::fetch(&hub, &volume).start();
    eventually(|| hub.requests().len() > before).await;
    hub.publish("main", &new);
    gate.open();
    assert_eq!(holder.end().await.code, Some(0));
    assert_eq!(waiter.end().await.code, Some(0));
    assert_eq!(volume.marker().unwrap()["commit"], old.commit);
}
