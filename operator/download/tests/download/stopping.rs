//! Signals.

use crate::{
    hub::{Fault, Gate, Hub, Model},
    program::{Program, Volume, eventually},
};
use rustix::process::Signal;

#[tokio::test]
async fn a_signal_stops_a_download_at_once_and_the_next_start_resumes_it() {
    let (model, volume) = (Model::new('a', &[("m.bin", 500_000)]), Volume::new());
    let hub = Hub::start(&model).await;
    hub.queue_faults("m.bin", [Fault::Hold(200_000, Gate::new())]);
    let running = Program::fetch(&hub, &volume).start();
    eventually(|| volume.partial_bytes() >= 100_000).await;
    running.signal(Signal::TERM);
    let output = running.end().await;
    assert_eq!(output.code, Some(143), "{output:?}");
    assert!(output.stderr.contains("stopped by a signal"), "{}", output.stderr);
    let kept = volume.partial_bytes();
    Program::fetch(&hub, &volume).args(["--lease-only"]).succeed().await;
    volume.assert_exactly(&model);
    assert_eq!(hub.requests_for("m.bin")[1].range, Some(format!("bytes={kept}-")));
}
