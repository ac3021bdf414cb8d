//! A hub, or a volume, that means harm.

use crate::{
    hub::{Fault, Hub, Model},
    program::{Program, Volume},
};
use serde_json::json;

fn model() -> Model {
    Model::new('a', &[("m.bin", 10_000)])
}

#[tokio::test]
async fn a_path_that_leads_elsewhere_is_refused_and_nothing_is_written() {
    for path in ["../evil", "/etc/evil", "a/../../evil", "a\u{0}b", "", ".llm-download/lock"] {
        let volume = Volume::new();
        let hub = Hub::start(&model()).await;
        hub.list(json!({ "sha": "a".repeat(40), "siblings": [
            { "rfilename": path, "size": 1, "blobId": "0".repeat(40) },
        ] }));
        let ended = Program::fetch(&hub, &volume).fail(65).await;
        assert!(ended.reason.contains("is refused"), "{path:?}: {}", ended.reason);
        assert!(!volume.root.exists());
        assert_eq!(hub.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_list_has_limits() {
    let listed = |count: usize| {
        let files = (0..count).map(|i| json!({ "rfilename": format!("f{i}") }));
        json!({ "sha": "a".repeat(40), "siblings": files.collect::<Vec<_>>() })
    };
    let endless = json!({ "sha": "a".repeat(17 * 1024 * 1024) });
    for (listing, why) in [
        (listed(10_001), "more than 10000 files"),
        (endless, "larger than 16777216 bytes"),
        (json!({ "sha": "main", "siblings": [] }), "names no commit"),
    ] {
        let volume = Volume::new();
        let hub = Hub::start(&model()).await;
        hub.list(listing);
        let ended = Program::fetch(&hub, &volume).fail(65).await;
        assert!(ended.reason.contains(why), "{}", ended.reason);
    }
}

#[tokio::test]
async fn the_token_does_not_follow_to_another_host() {
    let (model, volume) = (model(), Volume::new());
    let (hub, storage) = (Hub::start(&model).await, Hub::start(&model).await);
    let there = format!("{}/acme/tiny/resolve/{}/m.bin", storage.url, model.commit);
    let elsewhere = Fault::answer(302, &[("location", &there), ("x-linked-etag", "\"x\"")], "");
    hub.always("m.bin", elsewhere);
    Program::fetch(&hub, &volume).env("HF_TOKEN", "hf_secret\n").succeed().await;
    volume.holds(&model);
    assert!(hub.asked().iter().all(|a| a.token.as_deref() == Some("Bearer hf_secret")));
    assert!(storage.asked().len() == 1 && storage.asked()[0].token.is_none());
}

#[tokio::test]
async fn a_renamed_repository_is_followed_with_the_token() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    let there = format!("/api/models/acme/tiny/revision/{}", model.commit);
    hub.next("", [Fault::answer(307, &[("location", &there)], "")]);
    Program::fetch(&hub, &volume).env("HF_TOKEN", "hf_secret").succeed().await;
    assert!(hub.asked()[1].token.is_some());
}

#[tokio::test]
async fn a_hub_that_sends_us_around_is_given_up() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.always("", Fault::answer(302, &[("location", "/api/models/acme/tiny/revision/main")], ""));
    let ended = Program::fetch(&hub, &volume).args(["--retries", "0"]).fail(69).await;
    assert!(ended.reason.contains("redirected more than 5 times"), "{}", ended.reason);
}

#[tokio::test]
async fn nothing_is_written_through_a_link() {
    let model = Model::new('a', &[("sub/m.bin", 100)]);
    let (hub, volume, outside) = (Hub::start(&model).await, Volume::new(), Volume::new());
    std::fs::create_dir_all(&volume.root).unwrap();
    std::fs::create_dir_all(&outside.root).unwrap();
    std::os::unix::fs::symlink(&outside.root, volume.root.join("sub")).unwrap();
    let ended = Program::fetch(&hub, &volume).fail(73).await;
    assert!(ended.reason.contains("symbolic link"), "{}", ended.reason);
    assert_eq!(outside.files().len(), 0);
}

#[tokio::test]
async fn a_link_in_the_place_of_a_file_is_replaced() {
    let (model, volume, outside) = (model(), Volume::new(), Volume::new());
    let hub = Hub::start(&model).await;
    outside.put("target", b"keep");
    std::fs::create_dir_all(&volume.root).unwrap();
    let target = outside.root.join("target");
    std::os::unix::fs::symlink(&target, volume.root.join("m.bin")).unwrap();
    Program::fetch(&hub, &volume).succeed().await;
    volume.holds(&model);
    assert_eq!(std::fs::read(target).unwrap(), b"keep");
}
