//! Being told to stop.

use crate::{
    hub::{Fault, Gate, Hub, Model},
    program::{Program, Volume, eventually},
};
use rustix::process::Signal;

#[tokio::test]
async fn a_signal_stops_at_once_and_the_next_start_goes_on_where_it_was() {
    let (model, volume) = (Model::new('a', &[("m.bin", 500_000)]), Volume::new());
    let hub = Hub::start(&model).await;
    hub.next("m.bin", [Fault::Hold(200_000, Gate::new())]);
    let running = Program::fetch(&hub, &volume).start();
    eventually(|| volume.unfinished() >= 100_000).await;
    running.signal(Signal::TERM);
    let ended = running.end().await;
    assert_eq!(ended.code, Some(143), "{ended:?}");
    assert!(ended.notes.contains("stopped by a signal"), "{}", ended.notes);
    let kept = volume.unfinished();
    Program::fetch(&hub, &volume).args(["--lease-only"]).succeed().await;
    volume.holds(&model);
    assert_eq!(hub.asked_for("m.bin")[1].range, Some(format!("bytes={kept}-")));
}
