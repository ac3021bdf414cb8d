//! Connections that break, servers that are busy, bytes that are wrong.

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
async fn what_goes_wrong_for_a_while_is_tried_again() {
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
        hub.next("m.bin", [fault.clone(), fault]);
        Program::fetch(&hub, &volume).succeed().await;
        volume.holds(&model);
        assert_eq!(hub.asked_for("m.bin").len(), 3, "{name}");
    }
}

#[tokio::test]
async fn a_cut_connection_goes_on_where_it_was_cut() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.next("m.bin", [Fault::Cut(40_960)]);
    Program::fetch(&hub, &volume).succeed().await;
    volume.holds(&model);
    let ranges: Vec<_> = hub.asked_for("m.bin").into_iter().map(|asked| asked.range).collect();
    assert_eq!(ranges.len(), 2);
    assert!(ranges[1].as_ref().unwrap().starts_with("bytes="));
    assert!(hub.sent() < SIZE as u64 + 40_960);
}

#[tokio::test]
async fn a_range_that_is_none_begins_anew() {
    for fault in [Fault::WholeFile, Fault::OtherRange, Fault::status(416)] {
        let (model, volume) = (model(), Volume::new());
        let hub = Hub::start(&model).await;
        hub.next("m.bin", [Fault::Cut(40_960), fault]);
        Program::fetch(&hub, &volume).succeed().await;
        volume.holds(&model);
    }
}

#[tokio::test]
async fn another_process_goes_on_where_the_first_one_gave_up() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.next("m.bin", [Fault::Cut(40_960)]);
    Program::fetch(&hub, &volume).args(["--retries", "0"]).fail(69).await;
    let kept = volume.unfinished();
    assert!(kept > 0);
    Program::fetch(&hub, &volume).succeed().await;
    volume.holds(&model);
    assert_eq!(hub.asked_for("m.bin")[1].range, Some(format!("bytes={kept}-")));
}

#[tokio::test]
async fn a_busy_hub_is_asked_again_when_it_says() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.next("m.bin", [Fault::answer(429, &[("retry-after", "1")], "")]);
    Program::fetch(&hub, &volume).args(["--retry-wait", "100ms"]).succeed().await;
    let asked = hub.asked_for("m.bin");
    assert!(asked[1].at - asked[0].at >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_connection_that_stalls_is_given_up() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.next("m.bin", [Fault::Stall(8192), Fault::Stall(0)]);
    // A hub that is slow for once is given up as well, and tried again.
    let program = Program::fetch(&hub, &volume).args(["--idle-timeout", "200ms"]);
    program.args(["--retries", "100"]).succeed().await;
    volume.holds(&model);
}

#[tokio::test]
async fn a_file_that_is_always_wrong_is_named_and_never_seen() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.always("m.bin", Fault::Wrong);
    let ended = Program::fetch(&hub, &volume).fail(65).await;
    assert!(ended.reason.starts_with("m.bin does not match the checksum"), "{}", ended.reason);
    assert_eq!((volume.files().len(), volume.marker()), (0, None));
    assert_eq!(hub.asked_for("m.bin").len(), 3);
}

#[tokio::test]
async fn a_hub_that_is_never_there_is_69_and_says_what_failed() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.always("m.bin", Fault::status(502));
    let ended = Program::fetch(&hub, &volume).fail(69).await;
    assert_eq!(
        ended.reason,
        "the hub is not available: gave up on m.bin after 5 attempts: it answered 502 Bad Gateway"
    );
    assert_eq!(hub.asked_for("m.bin").len(), 5);
}

#[tokio::test]
async fn when_one_file_cannot_be_had_the_others_stop_and_keep_what_they_have() {
    let volume = Volume::new();
    let model = Model::new('a', &[("bad.bin", 10), ("slow.bin", SIZE)]);
    let hub = Hub::start(&model).await;
    let gate = crate::hub::Gate::new();
    hub.next("slow.bin", [Fault::Hold(40_960, gate)]);
    hub.always("bad.bin", Fault::status(404));
    Program::fetch(&hub, &volume).fail(65).await;
    assert_eq!(volume.files().len(), 0);
}
