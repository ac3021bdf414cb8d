//! Processes killed at any moment, with two models that alternate on one volume.

use crate::{
    hub::{Fault, Gate, Hub, Model},
    program::{Program, Volume, eventually},
};
use llm_cluster::soak;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::time::Duration;

/// Kills, normally and in the long form.
const ROUNDS: (usize, usize) = (20, 100);
/// The large file of each model.
const LARGE: [&str; 2] = ["a.bin", "b.bin"];
/// Fewer bytes than either large file has.
const HELD_BYTES_MAX: usize = 50_000;

#[tokio::test]
async fn every_visible_file_is_complete_and_every_restart_succeeds() {
    let seed: u64 = rand::random();
    let models = [
        Model::new('a', &[("config.json", 700), ("a.bin", 90_000), ("sub/s.bin", 30_000)]),
        Model::new('b', &[("config.json", 700), ("b.bin", 60_000), ("sub/s.bin", 50_000)]),
    ];
    let (volume, mut random) = (Volume::new(), StdRng::seed_from_u64(seed));
    let hub = Hub::start(&models[0]).await;
    hub.publish("v2", &models[1]);
    hub.pace(Duration::from_millis(1));
    let mut interrupted = 0;
    let rounds = soak::rounds(ROUNDS.0, ROUNDS.1);
    for round in 0..rounds {
        let which = round % models.len();
        let (model, revision) = (&models[which], ["main", "v2"][which]);
        let program = || Program::fetch(&hub, &volume).args(["--revision", revision]);
        // Half of them are killed during a file; of the others some have not begun, and some have
        // ended.
        if round % 4 < 2 {
            let (large, held) = (LARGE[which], random.random_range(1..=HELD_BYTES_MAX));
            let before = hub.requests_for(large).len();
            hub.queue_faults(large, [Fault::Hold(held, Gate::new())]);
            let running = program().start();
            eventually(|| hub.requests_for(large).len() > before).await;
            eventually(|| volume.partial_bytes() >= held as u64).await;
            running.kill().await;
        } else {
            let mut running = program().start();
            let after = hub.sent() + random.random_range(0..=model.bytes());
            tokio::select! {
                () = hub.until_sent(after) => {}
                output = running.wait() => assert!(output.success(), "{output}"),
            }
            running.kill().await;
        }
        let context = format!("seed {seed}, round {round}");
        check(&volume, &models, &context);
        interrupted += usize::from(volume.partial_bytes() > 0);
        let output = program().run().await;
        assert_eq!(output.code, Some(0), "{context}: {output:?}");
        volume.assert_complete(model);
    }
    assert!(
        interrupted >= rounds / 4,
        "seed {seed}: only {interrupted} were killed during a download"
    );
}

/// Every visible file is complete, and so is what the marker lists.
fn check(volume: &Volume, models: &[Model], context: &str) {
    let files = volume.files();
    for (name, bytes) in &files {
        let is_complete = models.iter().any(|model| model.files.get(name) == Some(bytes));
        assert!(is_complete, "{context}: {name} is damaged");
    }
    if let Some(marker) = volume.marker() {
        let model = models.iter().find(|model| marker["commit"] == model.commit).unwrap();
        for (name, bytes) in &model.files {
            assert_eq!(files.get(name), Some(bytes), "{context}: the marker is wrong about {name}");
        }
    }
}
