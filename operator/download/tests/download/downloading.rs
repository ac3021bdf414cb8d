//! What is downloaded, from where, and by which arguments.

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
async fn every_file_of_a_repository_is_downloaded_at_one_commit() {
    let (model, volume) = (tiny(), Volume::new());
    let hub = Hub::start(&model).await;
    let output = Program::fetch(&hub, &volume).succeed().await;
    volume.assert_exactly(&model);
    let progress = output.progress();
    assert_eq!((progress.state, progress.bytes, progress.total), (State::Done, 105_300, 105_300));
    assert_eq!((progress.files, progress.of), (3, 3));
    let files = hub.requests().into_iter().filter(|asked| !asked.path.starts_with("/api/"));
    let pinned = format!("/acme/tiny/resolve/{}/", model.commit);
    assert!(
        files.clone().count() == 3
            && files.clone().all(|request| request.path.starts_with(&pinned))
    );
}

#[tokio::test]
async fn the_arguments_of_hf_work_with_and_without_its_command() {
    let model = tiny();
    let hub = Hub::start(&model).await;
    hub.publish("refs/pr/1", &model);
    for first in [&["download", "acme/tiny"] as &[&str], &["acme/tiny"]] {
        let volume = Volume::new();
        let mut program = Program::new().env("HF_ENDPOINT", &hub.url);
        for word in first {
            program = program.args([word]);
        }
        let program = program.to(&volume.root).args(["--revision", "refs/pr/1"]);
        program.args(["--max-workers", "1"]).succeed().await;
        volume.assert_exactly(&model);
    }
}

#[tokio::test]
async fn patterns_select_files() {
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
    volume.assert_exactly(&model);
    assert_eq!(hub.requests().iter().filter(|request| request.method == Method::HEAD).count(), 3);
}

#[tokio::test]
async fn files_of_another_program_are_verified_and_not_downloaded_again() {
    let (model, volume) = (tiny(), Volume::new());
    let hub = Hub::start(&model).await;
    volume.put("model.bin", &model.files["model.bin"]);
    volume.put("config.json", &[b'x'; 300]);
    Program::fetch(&hub, &volume).succeed().await;
    volume.assert_exactly(&model);
    assert_eq!(hub.requests_for("model.bin").len(), 0);
    assert_eq!(hub.requests_for("config.json").len(), 1);
}

#[tokio::test]
async fn an_empty_file_is_downloaded() {
    let (model, volume) = (Model::new('a', &[("empty.txt", 0), ("empty.bin", 0)]), Volume::new());
    let hub = Hub::start(&model).await;
    Program::fetch(&hub, &volume).succeed().await;
    volume.assert_exactly(&model);
}

#[tokio::test]
async fn wrong_usage_exits_with_64_and_help_with_0() {
    for (args, code) in [
        (["--local-dir", "/nowhere"], 64),
        (["../etc", "--local-dir=/nowhere"], 64),
        (["acme/tiny", "--local-dir"], 64),
        (["download", "--help"], 0),
    ] {
        let output = Program::new().args(args).run().await;
        assert_eq!(output.code, Some(code), "{args:?}: {}", output.stderr);
    }
}

#[tokio::test]
async fn an_invalid_environment_variable_is_named_in_the_error() {
    let volume = Volume::new();
    for (name, value) in [("HF_ENDPOINT", "ftp://x"), ("HF_TOKEN", "a b")] {
        let program = Program::new().args(["acme/tiny"]).to(&volume.root).env(name, value);
        assert!(program.fail(64).await.reason.contains(name));
    }
}
