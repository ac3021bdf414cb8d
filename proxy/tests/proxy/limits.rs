//! How many requests may run at a time, and that a place is free again however one ends.

use crate::support::{LIMITS, ME, Proxy, bearer, chat, eventually, raw, record, served, table};
use llm_contract::KeyId;
use llm_proxy::{gateway::ServerLimits, stage::read::BodyLimits};
use llm_sim::{Config, Fault, Sim};
use serde_json::{Value, json};
use std::time::Duration;

const MODEL: &str = "tiny";
const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

async fn sim() -> Sim {
    Sim::start(Config::default()).await.unwrap()
}

fn messages() -> String {
    json!({ "model": MODEL, "max_tokens": 4, "messages": [{ "role": "user", "content": "a" }] })
        .to_string()
}

/// A table with this many places for the key, and for the model.
fn limited(sim: &Sim, key: Option<u32>, model: Option<u32>) -> Value {
    let mut table = table(json!([served(MODEL, &[sim.url()])]));
    table["routes"][0]["limits"] = json!({ "concurrency": model });
    let mut mine = record(ME, &["ml-team"]);
    mine["limits"] = json!({ "concurrency": key });
    table["keys"] = json!([mine]);
    table
}

fn running(proxy: &Proxy) -> (u32, u32, u32) {
    let tables = proxy.gateway.tables.snapshot();
    let key = tables.keys[&KeyId::parse(ME).unwrap()].running.in_flight();
    let route = tables.route(MODEL).unwrap();
    (key, route.running.in_flight(), route.endpoints[0].state.running.in_flight())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_requests_run_than_the_key_and_the_model_allow() {
    for (key, model, subject) in [(Some(2), None, "this key"), (Some(3), Some(2), "this model")] {
        let sim = sim().await;
        let proxy = Proxy::start(limited(&sim, key, model)).await;
        sim.inject(Fault::StallBeforeHeaders);
        let stalled = futures::future::join(proxy.chat(MODEL), proxy.chat(MODEL));
        let refused = async {
            eventually(|| sim.state().received == 2).await;
            for path in [CHAT, MESSAGES] {
                let answer = proxy.post(path, messages()).await;
                assert_eq!(answer.status(), 429);
                assert_eq!(answer.headers()["retry-after"], "1");
                assert_eq!(answer.headers()["retry-after-ms"], "1000");
                let body: Value = answer.json().await.unwrap();
                assert!(body["error"]["message"].as_str().unwrap().starts_with(subject), "{body}");
            }
        };
        tokio::select! {
            _ = stalled => panic!("it stalls"),
            () = refused => {}
        }
        assert_eq!(sim.received().len(), 2);
        eventually(|| running(&proxy) == (0, 0, 0)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_free_again_however_a_request_ends() {
    let sim = sim().await;
    let proxy = Proxy::start(limited(&sim, Some(1), Some(1))).await;
    for (fault, stream, status) in [
        (None, false, 200),
        (None, true, 200),
        (Some(Fault::Status(400)), false, 400),
        (Some(Fault::Status(500)), true, 500),
        (Some(Fault::ResetBeforeHeaders), false, 502),
        (Some(Fault::ErrorFirstEvent), true, 503),
        (Some(Fault::ResetAfterEvents(2)), true, 200),
        (Some(Fault::CloseAfterEvents(2)), true, 200),
        (Some(Fault::ErrorAfterEvents(2)), true, 200),
        (Some(Fault::LongContentLength), false, 200),
        (Some(Fault::Garbage), false, 502),
        (Some(Fault::HugeHeader(2_000_000)), false, 502),
    ] {
        sim.heal();
        assert_eq!(proxy.chat(MODEL).await.status(), 200, "before {fault:?}");
        eventually(|| running(&proxy) == (0, 0, 0)).await;
        if let Some(fault) = fault {
            sim.inject(fault);
        }
        let answer = proxy.post(CHAT, chat(MODEL, stream)).await;
        assert_eq!(answer.status(), status, "{fault:?}");
        let _cut_or_whole = answer.bytes().await;
        eventually(|| running(&proxy) == (0, 0, 0)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_gives_its_place_back_and_stops_the_server() {
    let sim = sim().await;
    let proxy = Proxy::start(limited(&sim, Some(1), Some(1))).await;
    for (fault, stream) in [
        (Fault::StallBeforeHeaders, false),
        (Fault::StallBeforeHeaders, true),
        (Fault::StallAfterEvents(2), true),
    ] {
        for http2 in [false, true] {
            sim.inject(fault);
            let before = sim.state();
            let builder = reqwest::Client::builder();
            let builder = if http2 { builder.http2_prior_knowledge() } else { builder };
            let asked = builder
                .build()
                .unwrap()
                .post(proxy.url(CHAT))
                .header("authorization", bearer())
                .header("content-type", "application/json")
                .body(chat(MODEL, stream))
                .send();
            let begun = eventually(|| before.received < sim.state().received);
            // Dropped, and its client with it.
            let _left = futures::future::select(Box::pin(asked), Box::pin(begun)).await;
            drop(_left);
            eventually(|| running(&proxy) == (0, 0, 0)).await;
            sim.wait_until(|state| state.aborted == before.aborted + 1).await.unwrap();
        }
    }
    sim.heal();
    assert_eq!(proxy.chat(MODEL).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_takes_no_place() {
    let sim = sim().await;
    let body = BodyLimits { body_wait: Duration::from_secs(2), ..LIMITS.body };
    let limits = ServerLimits { body, ..LIMITS };
    let proxy = Proxy::with_limits(limited(&sim, Some(1), Some(1)), limits).await;
    for (body, status) in
        [("{".to_owned(), 400), (chat("unknown", false), 404), (String::new(), 400)]
    {
        assert_eq!(proxy.post(CHAT, body).await.status(), status);
        assert_eq!(running(&proxy), (0, 0, 0));
    }
    let cut = format!("POST {CHAT} HTTP/1.1\r\nhost: h\r\nauthorization: {}\r\n", bearer());
    raw(proxy.external, format!("{cut}content-length: 5\r\n\r\n{{").as_bytes()).await;
    assert_eq!(running(&proxy), (0, 0, 0));
}
