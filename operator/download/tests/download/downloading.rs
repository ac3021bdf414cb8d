//! What is fetched, from where, and how it is called.

use crate::{
    hub::{Hub, Model},
    program::{Program, Volume},
};
use axum::http::Method;
use llm_download::State;

fn tiny() -> Model {
    Model::new('a', &[("config.json", 300), ("model.bin", 100_000), ("sub/deep/x.bin", 5000)])
}

#[tokio::test]
async fn every_file_of_a_repository_comes_whole_and_at_one_commit() {
    let (model, volume) = (tiny(), Volume::new());
    let hub = Hub::start(&model).await;
    let ended = Program::fetch(&hub, &volume).succeed().await;
    volume.holds(&model);
    let progress = ended.progress();
    assert_eq!((progress.state, progress.bytes, progress.total), (State::Done, 105_300, 105_300));
    assert_eq!((progress.files, progress.of), (3, 3));
    let files = hub.asked().into_iter().filter(|asked| !asked.path.starts_with("/api/"));
    let pinned = format!("/acme/tiny/resolve/{}/", model.commit);
    assert!(
        files.clone().count() == 3 && files.clone().all(|asked| asked.path.starts_with(&pinned))
    );
}

#[tokio::test]
async fn the_arguments_of_hf_work_with_and_without_its_command() {
    let model = tiny();
    let hub = Hub::start(&model).await;
    hub.publish("refs/pr/1", &model);
    for first in [&["download", "acme/tiny"] as &[&str], &["acme/tiny"]] {
        let volume = Volume::new();
        let mut program = Program::bare().env("HF_ENDPOINT", &hub.url);
        for word in first {
            program = program.args([word]);
        }
        let program = program.to(&volume.root).args(["--revision", "refs/pr/1"]);
        program.args(["--max-workers", "1"]).succeed().await;
        volume.holds(&model);
    }
}

#[tokio::test]
async fn patterns_choose_the_files() {
    let (model, volume) = (tiny(), Volume::new());
    let hub = Hub::start(&model).await;
    let program = Program::fetch(&hub, &volume);
    program.args(["--include", "*.bin", "--exclude", "sub/"]).succeed().await;
    assert_eq!(volume.files().keys().collect::<Vec<_>>(), ["model.bin"]);
}

#[tokio::test]
async fn a_hub_that_lists_only_names_is_asked_for_each_file() {
    let (model, volume) = (tiny(), Volume::new());
    let hub = Hub::start(&model).await;
    hub.list_names_only();
    Program::fetch(&hub, &volume).succeed().await;
    volume.holds(&model);
    assert_eq!(hub.asked().iter().filter(|asked| asked.method == Method::HEAD).count(), 3);
}

#[tokio::test]
async fn what_another_program_has_fetched_is_verified_and_not_fetched_again() {
    let (model, volume) = (tiny(), Volume::new());
    let hub = Hub::start(&model).await;
    volume.put("model.bin", &model.files["model.bin"]);
    volume.put("config.json", &[b'x'; 300]);
    Program::fetch(&hub, &volume).succeed().await;
    volume.holds(&model);
    assert_eq!(hub.asked_for("model.bin").len(), 0);
    assert_eq!(hub.asked_for("config.json").len(), 1);
}

#[tokio::test]
async fn an_empty_file_needs_no_bytes() {
    let (model, volume) = (Model::new('a', &[("empty.txt", 0), ("empty.bin", 0)]), Volume::new());
    let hub = Hub::start(&model).await;
    Program::fetch(&hub, &volume).succeed().await;
    volume.holds(&model);
}

#[tokio::test]
async fn wrong_usage_is_64_and_help_is_none() {
    for (args, code) in [
        (["--local-dir", "/nowhere"], 64),
        (["../etc", "--local-dir=/nowhere"], 64),
        (["acme/tiny", "--local-dir"], 64),
        (["download", "--help"], 0),
    ] {
        let ended = Program::bare().args(args).run().await;
        assert_eq!(ended.code, Some(code), "{args:?}: {}", ended.notes);
    }
}

#[tokio::test]
async fn an_environment_that_cannot_be_used_is_named() {
    let volume = Volume::new();
    for (name, value) in [("HF_ENDPOINT", "ftp://x"), ("HF_TOKEN", "a b")] {
        let program = Program::bare().args(["acme/tiny"]).to(&volume.root).env(name, value);
        assert!(program.fail(64).await.reason.contains(name));
    }
}
