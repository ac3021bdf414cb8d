//! Which models a caller sees, and that it can use exactly these.

use crate::support::{ME, Proxy, chat, key, provided, provider, record, served};
use llm_sim::{Config, Sim};
use reqwest::Client;
use serde_json::{Value, json};

const MODEL: &str = "tiny";
const CHAT: &str = "/v1/chat/completions";

/// Which models are listed, in both shapes.
async fn listed(proxy: &Proxy, key: &str) -> Vec<String> {
    let ids = async |anthropic: bool| {
        let request = Client::new().get(proxy.url("/v1/models")).header("x-api-key", key);
        let request =
            if anthropic { request.header("anthropic-version", "2023-06-01") } else { request };
        let body: Value = request.send().await.unwrap().json().await.unwrap();
        let shape = if anthropic { &body["data"][0]["type"] } else { &body["data"][0]["object"] };
        assert!(body["data"].as_array().unwrap().is_empty() || shape == "model", "{body}");
        let id = |model: &Value| model["id"].as_str().unwrap().to_owned();
        body["data"].as_array().unwrap().iter().map(id).collect::<Vec<_>>()
    };
    let listed = ids(false).await;
    assert_eq!(listed, ids(true).await);
    listed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_sees_and_uses_only_the_models_it_may() {
    let (sim, theirs) = (Sim::start(Config::default()), provider(Config::default()));
    let (sim, theirs) = (sim.await.unwrap(), theirs.await);
    let route = |model: &str, groups: &[&str], aliases: &[&str]| {
        let mut route = served(model, &[sim.url()]);
        route["access"] = json!({ "groups": groups });
        route["aliases"] = json!(aliases);
        route["upstream"]["served"]["model"] = MODEL.into();
        route
    };
    let mut table = provided("shared", &theirs.url(), Some(MODEL));
    let all = &mut table["routes"];
    *all = json!([
        route("org/science-1", &["science"], &["science"]),
        route("org/arts-1", &["arts"], &["arts"]),
        all[0].clone(),
        { "access": { "groups": ["science"] }, "upstream": { "provider": { "name": "them" } } },
    ]);
    let mut scoped = record("scopeddddddd", &["arts", "science"]);
    scoped["models"] = json!(["org/arts-1"]);
    table["keys"] = json!([record(ME, &["science"]), record("artsssssssss", &["arts"]), scoped]);
    let proxy = Proxy::start(table).await;
    for (id, models) in [
        (ME, &["org/science-1", "shared"][..]),
        ("artsssssssss", &["org/arts-1", "shared"]),
        ("scopeddddddd", &["org/arts-1"]),
    ] {
        let key = key(id);
        assert_eq!(listed(&proxy, key.reveal()).await, models, "{id}");
        for (path, model) in [
            ("org/science-1", "org/science-1"),
            ("org%2Fscience-1", "org/science-1"),
            ("science", "org/science-1"),
            ("org/arts-1", "org/arts-1"),
            ("arts", "org/arts-1"),
            ("shared", "shared"),
            ("anything", "-"),
        ] {
            let url = proxy.url(&format!("/v1/models/{path}"));
            let answer = Client::new().get(url).header("api-key", key.reveal()).send().await;
            let allowed = models.contains(&model);
            assert_eq!(answer.unwrap().status(), if allowed { 200 } else { 404 }, "{id}: {path}");
            let name = path.replace("%2F", "/");
            let answer = Client::new()
                .post(proxy.url(CHAT))
                .header("api-key", key.reveal())
                .header("content-type", "application/json")
                .body(chat(&name, false))
                .send()
                .await
                .unwrap();
            // The catch-all is for science, and leads to a provider that does not know the name.
            let status = match (path, id) {
                ("anything", ME) => 404,
                _ if allowed => 200,
                _ => 403,
            };
            assert_eq!(answer.status(), status, "{id}: {name}");
        }
    }
    let bodies: Vec<_> = sim.received().into_iter().map(|it| it.body).collect();
    assert!(bodies.iter().all(|body| *body == chat(MODEL, false)), "{bodies:?}");
    assert!(theirs.received().iter().any(|it| it.body == chat("anything", false)));
}
