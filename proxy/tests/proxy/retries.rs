//! What happens when endpoints fail, fall silent, or have no room.

use crate::support::{Proxy, chat, eventually, nowhere, served, table};
use llm_proxy::{
    clock, metrics::RouteLabels, stage::retry::RETRIES_AFTER_SENDING_MAX,
    upstream::health::PROBE_AFTER,
};
use llm_sim::{Config, Ending, Fault, Overload, Sim};
use reqwest::Response;
use serde_json::{Value, json};
use std::sync::Arc;

const MODEL: &str = "tiny";
const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

async fn sim() -> Sim {
    Sim::start(Config::default()).await.unwrap()
}

async fn sims<const COUNT: usize>() -> [Sim; COUNT] {
    let sims = futures::future::join_all((0..COUNT).map(|_| sim())).await;
    sims.try_into().ok().unwrap()
}

fn urls(sims: &[Sim]) -> Vec<String> {
    sims.iter().map(Sim::url).collect()
}

async fn serving(endpoints: &[String]) -> Proxy {
    Proxy::start(table(json!([served(MODEL, endpoints)]))).await
}

/// A table whose route waits no longer than this for the next byte.
fn impatient(endpoints: &[String], idle_ms: u64) -> Value {
    let mut route = served(MODEL, endpoints);
    route["upstream"]["served"]["timeouts"] =
        json!({ "connectMs": 1000, "requestMs": 10_000, "idleMs": idle_ms });
    table(json!([route]))
}

fn received(sims: &[Sim]) -> usize {
    sims.iter().map(|sim| sim.received().len()).sum()
}

fn failed_attempts(proxy: &Proxy) -> u64 {
    let route = RouteLabels { route: MODEL.into() };
    proxy.gateway.metrics.failed_attempts.get_or_create(&route).get()
}

async fn error(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    (status, answer.json::<Value>().await.unwrap()["error"].take())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_leads_to_the_next_endpoint() {
    let sim = sim().await;
    let proxy = serving(&[nowhere(), nowhere(), nowhere(), nowhere(), sim.url()]).await;
    for asked in 1..=8 {
        assert_eq!(proxy.chat(MODEL).await.status(), 200);
        assert_eq!(sim.received().len(), asked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_which_no_endpoint_can_be_reached_is_a_bad_gateway() {
    let proxy = serving(&[nowhere(), nowhere()]).await;
    let (status, error) = error(proxy.chat(MODEL).await).await;
    assert_eq!(
        (status, &error["type"], &error["code"]),
        (502, &"server_error".into(), &"upstream_error".into())
    );
    let answer = proxy.post(MESSAGES, chat(MODEL, false)).await;
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["type"], "api_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_breaks_its_servers_does_not_go_through_all_of_them() {
    let sims = sims::<5>().await;
    for sim in &sims {
        sim.inject(Fault::ResetBeforeHeaders);
    }
    let proxy = serving(&urls(&sims)).await;
    for stream in [false, true] {
        sims.iter().for_each(Sim::clear_received);
        assert_eq!(proxy.post(CHAT, chat(MODEL, stream)).await.status(), 502);
        assert_eq!(received(&sims), 1 + RETRIES_AFTER_SENDING_MAX);
        assert!(sims.iter().all(|sim| sim.received().len() <= 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_breaks_before_its_first_byte_is_replaced_unnoticed() {
    for fault in [Fault::ResetBeforeHeaders, Fault::ResetAfterBytes(20), Fault::Garbage] {
        let sims = sims::<2>().await;
        sims[0].inject(fault);
        let proxy = serving(&urls(&sims)).await;
        for stream in [false, true, false, true] {
            assert_eq!(proxy.post(CHAT, chat(MODEL, stream)).await.status(), 200, "{fault}");
        }
        assert_eq!(sims[1].received().len(), 4, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_endpoint_leads_to_the_next() {
    for fault in [Fault::Status(503), Fault::ErrorFirstEvent] {
        let sims = sims::<2>().await;
        sims[0].inject(fault);
        let proxy = serving(&urls(&sims)).await;
        for stream in [false, true, false, true] {
            let answer = proxy.post(CHAT, chat(MODEL, stream)).await;
            assert_eq!(answer.status(), 200, "{fault}");
            assert!(!answer.text().await.unwrap().contains("busy"), "{fault}");
        }
        assert_eq!(sims[1].received().len(), 4, "{fault}");
        assert_eq!(failed_attempts(&proxy), 0, "an endpoint that is busy has not failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_are_busy_the_client_learns_it_in_its_dialect() {
    for fault in [Fault::Status(503), Fault::ErrorFirstEvent] {
        let sims = sims::<5>().await;
        for sim in &sims {
            sim.inject(fault);
        }
        for count in [1, 2, 3, 4, 5] {
            let proxy = serving(&urls(&sims[..count])).await;
            for stream in [false, true] {
                let (status, error) = error(proxy.post(CHAT, chat(MODEL, stream)).await).await;
                assert_eq!(status, 503, "{fault}, {count} endpoints");
                assert!(error["message"].as_str().unwrap().contains("busy"), "{error}");
            }
        }
    }
    let sim = sim().await;
    sim.inject(Fault::Status(503));
    let answer = serving(&[sim.url()]).await.post(MESSAGES, messages()).await;
    assert_eq!(answer.status(), 529);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["type"], "error");
    assert!(body["error"]["message"].as_str().unwrap().contains("busy"), "{body}");
}

fn messages() -> String {
    json!({ "model": MODEL, "max_tokens": 4, "messages": [{ "role": "user", "content": "a" }] })
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_endpoint_speaks_for_those_that_cannot_be_reached() {
    let sim = sim().await;
    sim.inject(Fault::Status(503));
    for _ in 0..8 {
        let proxy = serving(&[sim.url(), nowhere()]).await;
        assert_eq!(proxy.chat(MODEL).await.status(), 503);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_in_the_first_event_of_a_stream_becomes_the_status() {
    let sim = Sim::start(Config {
        max_num_seqs: 1,
        max_num_queued_reqs: Some(0),
        overload: Overload::InStream,
        ..Config::default()
    });
    let sim = sim.await.unwrap();
    let proxy = serving(&[sim.url()]).await;
    let answer = proxy.post(CHAT, chat(MODEL, true)).await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let (status, error) = error(answer).await;
    assert_eq!((status, &error["code"]), (503, &503.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_shuts_down_says_so_itself() {
    let sim = sim().await;
    sim.inject(Fault::ShuttingDown);
    let (status, error) = error(serving(&[sim.url()]).await.chat(MODEL).await).await;
    assert_eq!(status, 500);
    assert!(error["message"].as_str().unwrap().contains("shutdown"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_that_was_closed_is_not_a_failure() {
    let sim = sim().await;
    let proxy = serving(&[sim.url()]).await;
    for ending in [Ending::Close, Ending::Reset] {
        assert_eq!(proxy.chat(MODEL).await.status(), 200);
        sim.cut_connections(ending);
        sim.wait_until(|state| state.connections == 0).await.unwrap();
        assert_eq!(proxy.chat(MODEL).await.status(), 200, "{ending:?}");
    }
    // Closed at the very moment of the next request.
    sim.inject(Fault::CloseOnReuse);
    for _ in 0..8 {
        assert_eq!(proxy.chat(MODEL).await.status(), 200);
    }
    assert_eq!(failed_attempts(&proxy), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_began_to_answer_is_not_asked_again_as_if_its_connection_had_been_idle() {
    let sim = sim().await;
    let proxy = serving(&[sim.url()]).await;
    for stream in [false, true] {
        sim.heal();
        assert_eq!(proxy.post(CHAT, chat(MODEL, stream)).await.status(), 200);
        eventually(|| proxy.gateway.requests.is_empty()).await;
        sim.clear_received();
        // A header, and nothing of the body.
        sim.inject(Fault::CloseAfterEvents(0));
        let answer = proxy.post(CHAT, chat(MODEL, stream)).await;
        assert!(stream || answer.status() == 200, "half of a body came");
        assert!(!stream || answer.status() == 502);
        drop(answer);
        assert_eq!(sim.received().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_failed_three_times_is_left_alone_until_it_listens_again() {
    let sim = sim().await;
    sim.stop_listening().await;
    let proxy = serving(&[sim.url()]).await;
    for _ in 0..3 {
        assert_eq!(error(proxy.chat(MODEL).await).await.0, 502);
    }
    for _ in 0..10 {
        let answer = proxy.chat(MODEL).await;
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(error(answer).await.0, 503);
    }
    assert_eq!(failed_attempts(&proxy), 3, "an ejected endpoint was tried again");
    sim.resume().await.unwrap();
    let snapshot = proxy.gateway.tables.snapshot();
    let endpoint = snapshot.endpoints().next().unwrap();
    eventually(|| endpoint.state.health.is_ready()).await;
    assert_eq!(proxy.chat(MODEL).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_failures_at_once_do_not_keep_an_endpoint_away_for_long() {
    let sim = sim().await;
    sim.inject(Fault::ResetBeforeHeaders);
    let proxy = serving(&[sim.url()]).await;
    let answers = futures::future::join_all((0..40).map(|_| proxy.chat(MODEL))).await;
    assert!(answers.iter().all(|answer| [502, 503].contains(&answer.status().as_u16())));
    sim.heal();
    let endpoint = Arc::clone(proxy.gateway.tables.snapshot().endpoints().next().unwrap());
    let health = &endpoint.state.health;
    // Did each of them count, the first probe would be seconds away.
    assert!(health.is_probe_due(clock::now() + PROBE_AFTER) || health.is_ready());
    eventually(|| health.is_ready()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_endpoints_is_not_ready_yet() {
    let proxy = serving(&[]).await;
    let answer = proxy.chat(MODEL).await;
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(error(answer).await.0, 503);
    assert_eq!(proxy.post(MESSAGES, messages()).await.status(), 529);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_left_alone_is_left_alone_by_the_next_table_too() {
    let (sim, broken) = (sim().await, nowhere());
    let proxy = serving(std::slice::from_ref(&broken)).await;
    for _ in 0..3 {
        proxy.chat(MODEL).await;
    }
    proxy.update(table(json!([served(MODEL, &[broken, sim.url()])])));
    for _ in 0..8 {
        assert_eq!(proxy.chat(MODEL).await.status(), 200);
    }
    assert_eq!(failed_attempts(&proxy), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_in_time_is_a_gateway_timeout_and_not_asked_elsewhere() {
    let sims = sims::<2>().await;
    for sim in &sims {
        sim.inject(Fault::StallBeforeHeaders);
    }
    let proxy = Proxy::start(impatient(&urls(&sims), 200)).await;
    let (status, error) = error(proxy.chat(MODEL).await).await;
    assert_eq!((status, &error["code"]), (504, &"upstream_timeout".into()));
    // The server may read the request later than we gave it up.
    eventually(|| 0 < received(&sims)).await;
    assert_eq!(received(&sims), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_comes_byte_by_byte_is_too_slow() {
    let sim = sim().await;
    sim.inject(Fault::SlowHeaders(20));
    let proxy = Proxy::start(impatient(&[sim.url()], 300)).await;
    assert_eq!(error(proxy.chat(MODEL).await).await.0, 504);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_spread_over_the_endpoints_with_the_fewest() {
    let sims = sims::<3>().await;
    for sim in &sims {
        sim.inject(Fault::StallBeforeHeaders);
    }
    let proxy = serving(&urls(&sims)).await;
    let mut stalled = futures::stream::FuturesUnordered::new();
    for asked in 1..=9 {
        stalled.push(proxy.chat(MODEL));
        tokio::select! {
            _ = futures::StreamExt::next(&mut stalled) => panic!("it stalls"),
            () = eventually(|| received(&sims) == asked) => {}
        }
    }
    assert!(sims.iter().all(|sim| sim.received().len() == 3));
}
