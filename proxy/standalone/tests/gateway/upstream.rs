//! `serve --upstream`: the first minute with a model server.

use crate::support::{ANY, Home, sim};
use llm_sim::Fault;
use std::process::Command;

/// Runs the command that a gateway printed for people to paste.
pub(crate) fn paste(printed: &str) -> String {
    let command = printed.split_once("Try it:\n").unwrap().1;
    let ran = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_that_is_printed_streams_an_answer_when_pasted() {
    let sim = sim(&["Qwen/Qwen3-8B"]).await;
    let home = Home::new();
    let gateway = home.start(&["serve", "--upstream", &sim.url()]);
    let printed = gateway.printed();
    assert_eq!(printed.matches(gateway.key()).count(), 2, "in its line and in the command");
    assert!(printed.contains("  models    Qwen/Qwen3-8B\n"), "{printed}");
    let answer = paste(&printed);
    assert!(answer.starts_with("data: {"), "{answer}");
    assert!(answer.ends_with("data: [DONE]\n\n"), "{answer}");
    assert_eq!(home.names(), ["data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_may_end_as_sdks_want_it() {
    let sim = sim(&["m"]).await;
    for end in ["/", "/v1", "/v1/"] {
        let home = Home::new();
        let gateway = home.start(&["serve", "--upstream", &format!("{}{end}", sim.url())]);
        assert_eq!(gateway.chat(gateway.key(), "m").await.0, 200, "{end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_the_first_start_is_good_after_the_second_which_prints_none() {
    let sim = sim(&["m"]).await;
    let home = Home::new();
    let args = ["serve", "--upstream", &sim.url()];
    let first = home.start(&args);
    let key = first.key().to_owned();
    assert_eq!(first.stop().0, 0);
    let second = home.start(&args);
    assert_eq!(second.key, None);
    assert!(!second.printed().contains("sk-nb-"), "{}", second.printed());
    assert!(second.printed().contains("llm-gateway keys create --name"), "{}", second.printed());
    assert_eq!(second.chat(&key, "m").await.0, 200);
}

/// Starts before such a server and says why that does not work; nothing is left behind.
fn refusal(upstream: &str) -> String {
    let home = Home::new();
    let ran = home.run(&[&["serve", "--upstream", upstream][..], &ANY].concat());
    assert_eq!((ran.code, ran.out.as_str()), (69, ""), "{}", ran.err);
    assert!(home.names().is_empty(), "{:?}", home.names());
    ran.err.lines().last().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_named_with_the_next_step() {
    let sim = sim(&["m"]).await;
    sim.stop_listening().await;
    let url = sim.url();
    let said = refusal(&url);
    let start = format!("llm-gateway: {url}/v1/models does not answer; start the server first, or");
    assert!(said.starts_with(&start) && said.contains("Connection refused"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lists_no_models_is_told_apart_from_one_that_is_down() {
    let none = sim(&[]).await;
    let said = refusal(&none.url());
    assert!(said.ends_with("/v1/models lists no models; load one, and start again"), "{said}");
    let strange = sim(&["two words"]).await;
    let said = refusal(&strange.url());
    assert!(
        said.contains("lists models that cannot be served: models[0].id: a model id has"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_a_key_says_where_to_name_it() {
    let api_key = Some("sk-engine".to_owned().into());
    let config = llm_sim::Config { api_key, ..llm_sim::Config::default() };
    let sim = llm_sim::Sim::start(config).await.unwrap();
    let said = refusal(&sim.url());
    assert!(said.contains("requires a key (401 Unauthorized); set it as `apiKey`"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_model_server_is_named() {
    let sim = sim(&["m"]).await;
    let hit = |fault| llm_sim::Injection {
        fault,
        times: None,
        path_prefix: Some("/v1/models".to_owned()),
    };
    sim.inject(hit(Fault::Status(404)));
    assert!(refusal(&sim.url()).contains("responds with 404 Not Found; is it the right address?"));
    sim.inject(hit(Fault::Garbage));
    assert!(refusal(&sim.url()).contains("does not answer"));
    let page = crate::support::page("<html>Welcome to nginx!</html>").await;
    let said = refusal(&page);
    assert!(said.contains("does not respond with a list of models"), "{said}");
}

#[test]
fn what_is_no_address_is_wrong_usage() {
    let home = Home::new();
    for upstream in ["127.0.0.1:8000", "http://127.0.0.1:8000/models", "http://me:pw@h"] {
        let ran = home.run(&["serve", "--upstream", upstream]);
        assert_eq!(ran.code, 64, "{}", ran.err);
        assert!(
            ran.err.contains("write the server's address as `http://host:port`"),
            "{}",
            ran.err
        );
    }
}
