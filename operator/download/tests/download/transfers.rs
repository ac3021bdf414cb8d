//! Broken connections, busy servers, wrong bytes.

use crate::{
    hub::{Fault, Hub, Model},
    program::{Program, Volume},
};
use std::time::Duration;

const SIZE: usize = 100_000;

fn model() -> Model {
    Model::new('a', &[("m.bin", SIZE)])
}

#[tokio::test]
async fn transient_failures_are_retried() {
    for (fault, name) in [
        (Fault::status(500), "500"),
        (Fault::status(503), "503"),
        (Fault::answer(429, &[("retry-after", "3600")], ""), "429 for longer than is waited"),
        (Fault::Cut(20_000), "cut"),
        (Fault::Cut(0), "cut at once"),
        (Fault::Wrong, "wrong bytes"),
        (Fault::TooLong, "too long"),
    ] {
        let (model, volume) = (model(), Volume::new());
        let hub = Hub::start(&model).await;
        hub.queue_faults("m.bin", [fault.clone(), fault]);
        Program::fetch(&hub, &volume).succeed().await;
        volume.assert_exactly(&model);
        assert_eq!(hub.requests_for("m.bin").len(), 3, "{name}");
    }
}

#[tokio::test]
async fn a_cut_connection_is_resumed_where_it_ended() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.queue_faults("m.bin", [Fault::Cut(40_960)]);
    Program::fetch(&hub, &volume).succeed().await;
    volume.assert_exactly(&model);
    let ranges: Vec<_> =
        hub.requests_for("m.bin").into_iter().map(|request| request.range).collect();
    assert_eq!(ranges.len(), 2);
    assert!(ranges[1].as_ref().unwrap().starts_with("bytes="));
    assert!(hub.sent() < SIZE as u64 + 40_960);
}

#[tokio::test]
async fn an_ignored_or_wrong_range_restarts_the_file() {
    for fault in [Fault::WholeFile, Fault::OtherRange, Fault::status(416)] {
        let (model, volume) = (model(), Volume::new());
        let hub = Hub::start(&model).await;
        hub.queue_faults("m.bin", [Fault::Cut(40_960), fault]);
        Program::fetch(&hub, &volume).succeed().await;
        volume.assert_exactly(&model);
    }
}

#[tokio::test]
async fn another_process_resumes_where_the_first_one_gave_up() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.queue_faults("m.bin", [Fault::Cut(40_960)]);
    Program::fetch(&hub, &volume).args(["--retries", "0"]).fail(69).await;
    let kept = volume.partial_bytes();
    assert!(kept > 0);
    Program::fetch(&hub, &volume).succeed().await;
    volume.assert_exactly(&model);
    assert_eq!(hub.requests_for("m.bin")[1].range, Some(format!("bytes={kept}-")));
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.queue_faults("m.bin", [Fault::answer(429, &[("retry-after", "1")], "")]);
    Program::fetch(&hub, &volume).args(["--retry-wait", "100ms"]).succeed().await;
    let requests = hub.requests_for("m.bin");
    assert!(requests[1].at - requests[0].at >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_stalled_connection_is_closed_and_retried() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.queue_faults("m.bin", [Fault::Stall(8192), Fault::Stall(0)]);
    // On a busy machine a connection that does not stall may time out as well.
    let program = Program::fetch(&hub, &volume).args(["--idle-timeout", "200ms"]);
    program.args(["--retries", "100"]).succeed().await;
    volume.assert_exactly(&model);
}

#[tokio::test]
async fn a_file_with_a_wrong_checksum_is_named_and_never_visible() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.set_fault("m.bin", Fault::Wrong);
    let output = Program::fetch(&hub, &volume).fail(65).await;
    assert!(output.reason.starts_with("m.bin does not match the checksum"), "{}", output.reason);
    assert_eq!((volume.files().len(), volume.marker()), (0, None));
    assert_eq!(hub.requests_for("m.bin").len(), 3);
}

#[tokio::test]
async fn an_unavailable_hub_exits_with_69_and_the_last_error() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.set_fault("m.bin", Fault::status(502));
    let output = Program::fetch(&hub, &volume).fail(69).await;
    assert_eq!(
        output.reason,
        "the hub is not available: gave up on m.bin after 5 attempts: it answered 502 Bad Gateway"
    );
    assert_eq!(hub.requests_for("m.bin").len(), 5);
}

#[tokio::test]
async fn when_one_file_fails_the_others_stop_and_keep_their_bytes() {
    let volume = Volume::new();
    let model = Model::new('a', &[("bad.bin", 10), ("slow.bin", SIZE)]);
    let hub = Hub::start(&model).await;
    let gate = crate::hub::Gate::new();
    hub.queue_faults("slow.bin", [Fault::Hold(40_960, gate)]);
    hub.set_fault("bad.bin", Fault::status(404));
    Program::fetch(&hub, &volume).fail(65).await;
    assert_eq!(volume.files().len(), 0);
}
