//! Refusals of the hub, and the messages for people.

use crate::{
    hub::{Fault, Hub, Model},
    program::{Program, Volume},
};

fn model() -> Model {
    Model::new('a', &[("m.bin", 10_000)])
}

#[tokio::test]
async fn the_error_for_a_gated_model_says_what_to_do() {
    for (status, headers, body, text) in [
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
        hub.set_fault("", Fault::answer(status, headers, body));
        let output = Program::fetch(&hub, &volume).env("HF_TOKEN", "hf_secret").fail(65).await;
        let reason = &output.reason;
        assert!(reason.contains(&format!("refuses acme/tiny with {status}")), "{reason}");
        assert!(reason.contains(&format!("{text}: check the name")), "{reason}");
        assert!(
            reason.contains(&format!("accept its licence at {}/acme/tiny", hub.url)),
            "{reason}"
        );
        assert!(reason.contains("authSecretName"), "{reason}");
        assert!(output.stderr.contains(reason), "{}", output.stderr);
    }
}

#[tokio::test]
async fn a_missing_revision_is_named_in_the_error() {
    let volume = Volume::new();
    let hub = Hub::start(&model()).await;
    let output = Program::fetch(&hub, &volume).args(["--revision", "v9"]).fail(65).await;
    assert_eq!(
        output.reason,
        "the hub has no acme/tiny at revision `v9`: Invalid rev id: check the name and the \
         revision"
    );
}

#[tokio::test]
async fn patterns_that_match_nothing_are_an_error() {
    let volume = Volume::new();
    let hub = Hub::start(&model()).await;
    let output = Program::fetch(&hub, &volume).args(["--include", "*.gguf"]).fail(65).await;
    assert!(output.reason.contains("spec.model.files"), "{}", output.reason);
}

#[tokio::test]
async fn the_token_is_never_printed() {
    let volume = Volume::new();
    let hub = Hub::start(&model()).await;
    let repeats = |status| {
        let text = [("x-error-message", "hf_secret is invalid")];
        Fault::answer(status, &text, r#"{"error": "hf_secret"}"#)
    };
    let body = Fault::answer(403, &[], r#"{"error": "hf_\u0073ecret is nobody's"}"#);
    for fault in
        [Fault::status(401), Fault::status(500), Fault::Cut(0), repeats(401), repeats(404), body]
    {
        hub.set_fault("", fault.clone());
        hub.set_fault("m.bin", fault);
        let output = Program::fetch(&hub, &volume).env("HF_TOKEN", "hf_secret").run().await;
        let text = format!("{}{}{}", output.stdout, output.stderr, output.reason);
        assert!(!text.contains("hf_secret"), "{text}");
    }
}

#[tokio::test]
async fn a_hub_with_a_password_in_its_address_is_refused_without_repeating_it() {
    let volume = Volume::new();
    let hub = Hub::start(&model()).await;
    let address = hub.url.replace("http://", "http://me:geheim@");
    let output = Program::fetch(&hub, &volume).env("HF_ENDPOINT", &address).fail(64).await;
    assert!(output.reason.contains("no password"), "{}", output.reason);
    assert!(!output.reason.contains("geheim") && hub.requests().is_empty(), "{}", output.reason);
}
