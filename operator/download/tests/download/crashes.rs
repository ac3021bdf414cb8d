//! Killed at any moment, a hundred times, between two models that take turns on one volume.

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
/// Less than either has, in bytes.
const HELD_BYTES_MAX: usize = 50_000;

#[tokio::test]
async fn no_file_is_ever_seen_that_is_not_whole_and_every_restart_completes() {
    let seed: u64 = rand::random();
    let models = [
        Model::new('a', &[("config.json", 700), ("a.bin", 90_000), ("sub/s.bin", 30_000)]),
        Model::new('b', &[("config.json", 700), ("b.bin", 60_000), ("sub/s.bin", 50_000)]),
    ];
    let (volume, mut random) = (Volume::new(), StdRng::seed_from_u64(seed));
    let hub = Hub::start(&models[0]).await;
    hub.publish("v2", &models[1]);
    hub.pace(Duration::from_millis(1));
    let mut under_way = 0;
    let rounds = soak::rounds(ROUNDS.0, ROUNDS.1);
    for round in 0..rounds {
        let which = round % models.len();
        let (model, revision) = (&models[which], ["main", "v2"][which]);
        let program = || Program::fetch(&hub, &volume).args(["--revision", revision]);
        // Half of them are killed while a file is under way; of the others some before they have
        // begun, and some have ended.
        if round % 4 < 2 {
            let (large, held) = (LARGE[which], random.random_range(1..=HELD_BYTES_MAX));
            let asked = hub.asked_for(large).len();
            hub.next(large, [Fault::Hold(held, Gate::new())]);
            let running = program().start();
            eventually(|| hub.asked_for(large).len() > asked).await;
            eventually(|| volume.unfinished() >= held as u64).await;
            running.kill().await;
        } else {
            let mut running = program().start();
            let after = hub.sent() + random.random_range(0..=model.bytes());
            tokio::select! {
                () = hub.until_sent(after) => {}
                ended = running.ended() => assert!(ended.success(), "{ended}"),
            }
            running.kill().await;
        }
        let said = format!("seed {seed}, round {round}");
        check(&volume, &models, &said);
        under_way += usize::from(volume.unfinished() > 0);
        let ended = program().run().await;
        assert_eq!(ended.code, Some(0), "{said}: {ended:?}");
        volume.serves(model);
    }
    assert!(under_way >= rounds / 4, "seed {seed}: only {under_way} were killed under way");
}

/// Everything that can be seen is whole; and what a marker says is there.
fn check(volume: &Volume, models: &[Model], said: &str) {
    let files = volume.files();
    for (name, bytes) in &files {
        let whole = models.iter().any(|model| model.files.get(name) == Some(bytes));
        assert!(whole, "{said}: {name} is damaged");
    }
    if let Some(marker) = volume.marker() {
        let model = models.iter().find(|model| marker["commit"] == model.commit).unwrap();
        for (name, bytes) in &model.files {
            assert_eq!(files.get(name), Some(bytes), "{said}: the marker lies about {name}");
        }
    }
}
