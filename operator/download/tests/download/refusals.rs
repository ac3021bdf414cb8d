//! What the hub refuses, and what people are told.

use crate::{
    hub::{Fault, Hub, Model},
    program::{Program, Volume},
};

fn model() -> Model {
    Model::new('a', &[("m.bin", 10_000)])
}

#[tokio::test]
async fn a_gated_model_says_what_to_do() {
    for (status, headers, body, said) in [
        (
            401,
            &[("x-error-code", "GatedRepo"), ("x-error-message", "Access is restricted.")][..],
            "",
            ": Access is restricted.",
        ),
        (403, &[], r#"{"error":"You are not in the list"}"#, ": You are not in the list"),
        (403, &[], "<html>", ""),
    ] {
        let volume = Volume::new();
        let hub = Hub::start(&model()).await;
        hub.always("", Fault::answer(status, headers, body));
        let ended = Program::fetch(&hub, &volume).env("HF_TOKEN", "hf_secret").fail(65).await;
        let told = &ended.reason;
        assert!(told.contains(&format!("refuses acme/tiny with {status}")), "{told}");
        assert!(told.contains(&format!("{said}: check the name")), "{told}");
        assert!(told.contains(&format!("accept its licence at {}/acme/tiny", hub.url)), "{told}");
        assert!(told.contains("authSecretName"), "{told}");
        assert!(ended.notes.contains(told), "{}", ended.notes);
    }
}

#[tokio::test]
async fn a_revision_that_is_not_there_is_named() {
    let volume = Volume::new();
    let hub = Hub::start(&model()).await;
    let ended = Program::fetch(&hub, &volume).args(["--revision", "v9"]).fail(65).await;
    assert_eq!(
        ended.reason,
        "the hub has no acme/tiny at revision `v9`: Invalid rev id: check the name and the \
         revision"
    );
}

#[tokio::test]
async fn patterns_that_match_nothing_are_no_success() {
    let volume = Volume::new();
    let hub = Hub::start(&model()).await;
    let ended = Program::fetch(&hub, &volume).args(["--include", "*.gguf"]).fail(65).await;
    assert!(ended.reason.contains("spec.model.files"), "{}", ended.reason);
}

#[tokio::test]
async fn the_token_is_never_said() {
    let volume = Volume::new();
    let hub = Hub::start(&model()).await;
    let repeats = |status| {
        let said = [("x-error-message", "hf_secret is nobody's")];
        Fault::answer(status, &said, r#"{"error": "hf_secret"}"#)
    };
    let body = Fault::answer(403, &[], r#"{"error": "hf_\u0073ecret is nobody's"}"#);
    for fault in
        [Fault::status(401), Fault::status(500), Fault::Cut(0), repeats(401), repeats(404), body]
    {
        hub.always("", fault.clone());
        hub.always("m.bin", fault);
        let ended = Program::fetch(&hub, &volume).env("HF_TOKEN", "hf_secret").run().await;
        let said = format!("{}{}{}", ended.out, ended.notes, ended.reason);
        assert!(!said.contains("hf_secret"), "{said}");
    }
}

#[tokio::test]
async fn a_hub_with_a_password_in_its_address_is_refused_without_repeating_it() {
    let volume = Volume::new();
    let hub = Hub::start(&model()).await;
    let address = hub.url.replace("http://", "http://me:geheim@");
    let ended = Program::fetch(&hub, &volume).env("HF_ENDPOINT", &address).fail(64).await;
    assert!(ended.reason.contains("no password"), "{}", ended.reason);
    assert!(!ended.reason.contains("geheim") && hub.asked().is_empty(), "{}", ended.reason);
}
