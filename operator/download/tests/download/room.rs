//! Volumes that are too small.

use crate::{
    hub::{Fault, Gate, Hub, Model},
    program::{Program, Volume, eventually},
};
use std::io::Write as _;

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_download_that_cannot_fit_is_not_started() {
    let volume = Volume::of_mib(2);
    let hub = Hub::start(&Model::new('a', &[("m.bin", 4 * MIB)])).await;
    let output = Program::fetch(&hub, &volume.0).fail(73).await;
    assert_eq!(hub.sent(), 0);
    for word in
        ["bytes free", "5242880 are needed (including 1048576 to spare)", "spec.model.storage"]
    {
        assert!(output.reason.contains(word), "{}", output.reason);
    }
}

#[tokio::test]
async fn a_volume_that_fills_up_keeps_partial_files_and_the_next_start_resumes_them() {
    let model = Model::new('a', &[("m.bin", 3 * MIB)]);
    let (volume, hub, gate) = (Volume::of_mib(8), Hub::start(&model).await, Gate::new());
    hub.queue_faults("m.bin", [Fault::Hold(MIB, gate.clone())]);
    let running = Program::fetch(&hub, &volume.0).start();
    eventually(|| volume.0.partial_bytes() >= MIB as u64 / 2).await;
    fill(&volume.0);
    gate.open();
    let output = running.end().await;
    assert_eq!(output.code, Some(73), "{output:?}");
    assert!(output.stderr.contains("no space left on the volume"), "{}", output.stderr);
    let kept = volume.0.partial_bytes();
    assert!(kept >= MIB as u64 / 2);
    std::fs::remove_file(volume.0.root.join("ballast")).unwrap();
    Program::fetch(&hub, &volume.0).succeed().await;
    volume.0.assert_exactly(&model);
    assert_eq!(hub.requests_for("m.bin")[1].range, Some(format!("bytes={kept}-")));
}

fn fill(volume: &Volume) {
    let mut ballast = std::fs::File::create(volume.root.join("ballast")).unwrap();
    while ballast.write_all(&[0; 4096]).is_ok() {}
}

#[tokio::test]
async fn old_weights_make_room_for_new_ones_when_both_do_not_fit() {
    let size = 3 * MIB;
    let (old, new) = (Model::new('a', &[("old.bin", size)]), Model::new('b', &[("new.bin", size)]));
    let (volume, hub) = (Volume::of_mib(5), Hub::start(&old).await);
    hub.publish("v2", &new);
    Program::fetch(&hub, &volume.0).succeed().await;
    Program::fetch(&hub, &volume.0).args(["--revision", "v2"]).succeed().await;
    volume.0.assert_exactly(&new);
}
