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

/// Waits until only `b.bin` is missing, and is under way.
async fn until_held(volume: &Volume) {
    eventually(|| volume.files().len() == 3 && volume.unfinished() >= 100_000).await;
}

#[tokio::test]
async fn eight_replicas_at_once_fetch_every_byte_once() {
    for lease_only in [false, true] {
        let (model, volume) = (model(), Volume::new());
        let hub = Hub::start(&model).await;
        let replica = || {
            let program = Program::fetch(&hub, &volume);
            if lease_only { program.args(["--lease-only"]) } else { program }
        };
        join_all((0..REPLICAS).map(|_| replica().succeed())).await;
        volume.holds(&model);
        assert_eq!(hub.sent(), model.bytes(), "lease only: {lease_only}");
    }
}

#[tokio::test]
async fn who_waits_says_so_and_takes_over_at_once_from_a_holder_that_was_killed() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.next("b.bin", [Fault::Hold(200_000, Gate::new())]);
    let holder = Program::fetch(&hub, &volume).start();
    until_held(&volume).await;
    let asked = hub.asked().len();
    // Were it to wait for silence, the test would not live to see it.
    let waiter = Program::fetch(&hub, &volume).args(["--takeover-after", "1h"]).start();
    eventually(|| hub.asked().len() > asked).await;
    holder.kill().await;
    let ended = waiter.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    volume.holds(&model);
    assert!(hub.asked_for("b.bin")[1].range.is_some(), "what was there has been fetched again");
}

#[tokio::test]
async fn a_holder_that_lives_is_not_taken_over_however_slow_it_is() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    let gate = Gate::new();
    hub.next("b.bin", [Fault::Hold(200_000, gate.clone())]);
    let program = || Program::fetch(&hub, &volume).args(["--takeover-after", "6s", "--lease-only"]);
    let holder = program().start();
    until_held(&volume).await;
    let asked = hub.asked().len();
    let waiter = program().start();
    eventually(|| hub.asked().len() > asked).await;
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
    assert_eq!(waiter.end().await.code, Some(0));
    volume.holds(&model);
    assert_eq!(hub.sent(), model.bytes());
}

#[tokio::test]
async fn a_holder_that_was_stopped_finds_itself_replaced_and_harms_nothing() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    let gate = Gate::new();
    hub.next("b.bin", [Fault::Hold(200_000, gate.clone())]);
    let program = || Program::fetch(&hub, &volume).args(["--takeover-after", "1s", "--lease-only"]);
    let old = program().start();
    until_held(&volume).await;
    old.signal(Signal::STOP);
    // What is still on its way to the old one waits in its sockets.
    gate.open();
    program().succeed().await;
    volume.holds(&model);
    old.signal(Signal::CONT);
    let ended = old.end().await;
    assert_eq!(ended.code, Some(75), "{ended:?}");
    volume.holds(&model);
}

#[tokio::test]
async fn a_holder_that_was_killed_is_replaced_without_flock_too() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.next("b.bin", [Fault::Hold(200_000, Gate::new())]);
    let program = || Program::fetch(&hub, &volume).args(["--takeover-after", "1s", "--lease-only"]);
    let holder = program().start();
    until_held(&volume).await;
    holder.kill().await;
    program().succeed().await;
    volume.holds(&model);
    assert!(hub.asked_for("b.bin")[1].range.is_some(), "what was there has been fetched again");
}

#[tokio::test]
async fn who_waited_takes_what_the_other_brought_even_if_the_branch_has_moved() {
    let (old, new, volume) = (model(), Model::new('b', &[("n.bin", 1000)]), Volume::new());
    let hub = Hub::start(&old).await;
    let gate = Gate::new();
    hub.next("b.bin", [Fault::Hold(200_000, gate.clone())]);
    let holder = Program::fetch(&hub, &volume).start();
    until_held(&volume).await;
    let asked = hub.asked().len();
    let waiter = Program::fetch(&hub, &volume).start();
    eventually(|| hub.asked().len() > asked).await;
    hub.publish("main", &new);
    gate.open();
    assert_eq!(holder.end().await.code, Some(0));
    assert_eq!(waiter.end().await.code, Some(0));
    assert_eq!(volume.marker().unwrap()["commit"], old.commit);
}
