//! Hostile hubs and volumes.

use crate::{
    hub::{Fault, Hub, Model},
    program::{Program, Volume},
};
use serde_json::json;

fn model() -> Model {
    Model::new('a', &[("m.bin", 10_000)])
}

#[tokio::test]
async fn a_path_that_leads_outside_is_refused_and_nothing_is_written() {
    for path in ["../evil", "/etc/evil", "a/../../evil", "a\u{0}b", "", ".llm-download/lock"] {
        let volume = Volume::new();
        let hub = Hub::start(&model()).await;
        hub.list(json!({ "sha": "a".repeat(40), "siblings": [
            { "rfilename": path, "size": 1, "blobId": "0".repeat(40) },
        ] }));
        let output = Program::fetch(&hub, &volume).fail(65).await;
        assert!(output.reason.contains("is refused"), "{path:?}: {}", output.reason);
        assert!(!volume.root.exists());
        assert_eq!(hub.requests().len(), 1);
    }
}

#[tokio::test]
async fn the_list_of_files_is_limited() {
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
        let output = Program::fetch(&hub, &volume).fail(65).await;
        assert!(output.reason.contains(why), "{}", output.reason);
    }
}

#[tokio::test]
async fn the_token_is_not_sent_to_another_host() {
    let (model, volume) = (model(), Volume::new());
    let (hub, storage) = (Hub::start(&model).await, Hub::start(&model).await);
    let there = format!("{}/acme/tiny/resolve/{}/m.bin", storage.url, model.commit);
    let elsewhere = Fault::answer(302, &[("location", &there), ("x-linked-etag", "\"x\"")], "");
    hub.set_fault("m.bin", elsewhere);
    Program::fetch(&hub, &volume).env("HF_TOKEN", "hf_secret\n").succeed().await;
    volume.assert_exactly(&model);
    assert!(hub.requests().iter().all(|a| a.token.as_deref() == Some("Bearer hf_secret")));
    assert!(storage.requests().len() == 1 && storage.requests()[0].token.is_none());
}

#[tokio::test]
async fn a_renamed_repository_is_followed_with_the_token() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    let there = format!("/api/models/acme/tiny/revision/{}", model.commit);
    hub.queue_faults("", [Fault::answer(307, &[("location", &there)], "")]);
    Program::fetch(&hub, &volume).env("HF_TOKEN", "hf_secret").succeed().await;
    assert!(hub.requests()[1].token.is_some());
}

#[tokio::test]
async fn a_redirect_loop_ends_after_five_redirects() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.set_fault(
        "",
        Fault::answer(302, &[("location", "/api/models/acme/tiny/revision/main")], ""),
    );
    let output = Program::fetch(&hub, &volume).args(["--retries", "0"]).fail(69).await;
    assert!(output.reason.contains("redirected more than 5 times"), "{}", output.reason);
}

#[tokio::test]
async fn nothing_is_written_through_a_symbolic_link() {
    let model = Model::new('a', &[("sub/m.bin", 100)]);
    let (hub, volume, outside) = (Hub::start(&model).await, Volume::new(), Volume::new());
    std::fs::create_dir_all(&volume.root).unwrap();
    std::fs::create_dir_all(&outside.root).unwrap();
    std::os::unix::fs::symlink(&outside.root, volume.root.join("sub")).unwrap();
    let output = Program::fetch(&hub, &volume).fail(73).await;
    assert!(output.reason.contains("symbolic link"), "{}", output.reason);
    assert_eq!(outside.files().len(), 0);
}

#[tokio::test]
async fn a_symbolic_link_in_the_place_of_a_file_is_replaced() {
    let (model, volume, outside) = (model(), Volume::new(), Volume::new());
    let hub = Hub::start(&model).await;
    outside.put("target", b"keep");
    std::fs::create_dir_all(&volume.root).unwrap();
    let target = outside.root.join("target");
    std::os::unix::fs::symlink(&target, volume.root.join("m.bin")).unwrap();
    Program::fetch(&hub, &volume).succeed().await;
    volume.assert_exactly(&model);
    assert_eq!(std::fs::read(target).unwrap(), b"keep");
}
