//! A client that goes away stops the work that is done for it, and pays for what was done.

use crate::{
    actors::{CHAT, MODEL, NEVER, Speaks, Upstream, ask, ask_stream, piece, sim},
    support::{ME, PATIENCE, Proxy, bearer, record, served, table},
};
use futures::future::{Either, select};
use llm_proxy::clock;
use llm_sim::{Config, Ended, Sim};
use serde_json::{Value, json};
use std::{
    pin::pin,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Within which the server must be rid of the request.
const SOON: Duration = Duration::from_millis(100);
/// The machine may be busy with something else just then; not every time.
const TRIES: usize = 5;

async fn start(config: Config) -> (Sim, Proxy) {
    let sim = sim(config).await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()])]))).await;
    (sim, proxy)
}

/// Waits until the server has let go; how long that took.
async fn let_go(sim: &Sim, left: Instant) -> Duration {
    sim.wait_until(|state| state.running + state.waiting == 0).await.unwrap();
    let took = clock::now().duration_since(left);
    sim.wait_until(|state| state.aborted == state.received).await.unwrap();
    assert!(sim.received().iter().all(|it| it.ended == Ended::Aborted));
    took
}

/// Begins a request, and leaves when the server works on it.
async fn leave_early(speaks: Speaks, sim: &Sim, proxy: &Proxy, body: &Value) -> Instant {
    let running = pin!(sim.wait_until(|state| state.running == 1));
    match select(pin!(speaks.post(proxy.external, CHAT, body)), running).await {
        Either::Left((answer, _)) => panic!("{answer:?} before the first token"),
        Either::Right((running, _request)) => {
            running.unwrap();
            clock::now()
        }
    }
}

fn assert_soon(times: &[Duration], what: &str) {
    assert!(times.iter().any(|took| *took < SOON), "{what}: {times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_first_token_stops_the_server() {
    for speaks in Speaks::BOTH {
        for body in [ask_stream(CHAT), ask(CHAT, &json!({}))] {
            let mut times = Vec::new();
            for _ in 0..TRIES {
                let (sim, proxy) = start(Config { ttft: NEVER, ..Config::default() }).await;
                let left = leave_early(speaks, &sim, &proxy, &body).await;
                times.push(let_go(&sim, left).await);
                proxy.until_metric(r#"end="client_gone"} 1"#).await;
            }
            assert_soon(&times, &format!("{speaks:?} {body}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_the_middle_of_a_stream_stops_the_server() {
    for speaks in Speaks::BOTH {
        let mut times = Vec::new();
        for _ in 0..TRIES {
            let (sim, mut proxy) = start(Config { itl: NEVER, ..Config::default() }).await;
            let mut events = speaks.stream(proxy.external, CHAT, &ask_stream(CHAT)).await;
            events.next().await;
            events.next().await;
            drop(events);
            times.push(let_go(&sim, clock::now()).await);
            let counted = proxy.usage().await;
            assert!(0 < counted.input_tokens, "{counted:?}");
            assert_eq!((counted.output_tokens, counted.estimated), (1, false), "{counted:?}");
            proxy.until_metric(r#"status="200",end="client_gone"} 1"#).await;
        }
        assert_soon(&times, &format!("{speaks:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_the_middle_of_a_whole_reply_stops_the_server() {
    for speaks in Speaks::BOTH {
        let mut times = Vec::new();
        for _ in 0..TRIES {
            let upstream = Upstream::bind().await;
            let proxy = Proxy::start(table(json!([served(MODEL, &[upstream.url()])]))).await;
            let serve = async {
                let mut asked = upstream.asked().await;
                asked.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                asked.say("{\"id\":").await;
                asked
            };
            let body = ask(CHAT, &json!({}));
            let (mut asked, reply) = tokio::join!(serve, speaks.post(proxy.external, CHAT, &body));
            drop(reply.unwrap());
            let left = clock::now();
            asked.closed().await;
            times.push(clock::now().duration_since(left));
            proxy.until_metric(r#"status="200",end="client_gone"} 1"#).await;
        }
        assert_soon(&times, &format!("{speaks:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_a_server_in_full_flow_stops_it() {
    for speaks in Speaks::BOTH {
        let mut times = Vec::new();
        for _ in 0..TRIES {
            let upstream = Upstream::bind().await;
            let proxy = Proxy::start(table(json!([served(MODEL, &[upstream.url()])]))).await;
            let serve = async {
                let mut asked = upstream.asked().await;
                asked.begin().await;
                asked.say_until_closed(&piece(&"x".repeat(10_000))).await;
                clock::now()
            };
            let body = ask_stream(CHAT);
            let leave = async {
                speaks.stream(proxy.external, CHAT, &body).await.next().await;
                clock::now()
            };
            let (stopped, left) = tokio::join!(serve, leave);
            times.push(stopped.duration_since(left));
        }
        assert_soon(&times, &format!("{speaks:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_gives_its_place_back() {
    let sim = sim(Config { ttft: NEVER, ..Config::default() }).await;
    let mut table = table(json!([served(MODEL, &[sim.url()])]));
    let mut key = record(ME, &[]);
    key["limits"] = json!({ "concurrency": 1 });
    table["keys"] = json!([key]);
    let proxy = Proxy::start(table).await;
    let left = leave_early(Speaks::Http1, &sim, &proxy, &ask_stream(CHAT)).await;
    let_go(&sim, left).await;
    proxy.until_metric("llm_proxy_requests_running 0").await;
    // Were the place still taken, this would be refused, and never reach the server.
    leave_early(Speaks::Http1, &sim, &proxy, &ask_stream(CHAT)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_streams_of_a_connection_go_on_when_one_is_left() {
    let (sim, proxy) = start(Config { itl: NEVER, ..Config::default() }).await;
    let client = Speaks::Http2.client();
    let ask = || {
        client
            .post(proxy.url(CHAT))
            .header("authorization", bearer())
            .json(&ask_stream(CHAT))
            .send()
    };
    let (left, mut stays) = (ask().await.unwrap(), ask().await.unwrap());
    sim.wait_until(|state| state.running == 2).await.unwrap();
    drop(left);
    sim.wait_until(|state| state.running == 1).await.unwrap();
    assert!(stays.chunk().await.unwrap().is_some());
    assert_eq!(sim.state().running, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_request_on_the_connection_is_not_a_departure() {
    let upstream = Upstream::bind().await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[upstream.url()])]))).await;
    let body = ask_stream(CHAT).to_string();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        bearer(),
        body.len(),
    );
    let mut client = TcpStream::connect(proxy.external).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut asked = upstream.asked().await;
    asked.begin().await;
    asked.say(&piece("first")).await;
    read_until(&mut client, "first").await;
    client.write_all(request.as_bytes()).await.unwrap();
    asked.say(&piece("more")).await;
    read_until(&mut client, "more").await;
    asked.say("data: [DONE]\n\n").await;
    asked.end().await;
    read_until(&mut client, "0\r\n\r\n").await;
    let mut asked = asked.again().await;
    asked.begin().await;
    asked.say(&piece("second")).await;
    read_until(&mut client, "second").await;
}

async fn read_until(client: &mut TcpStream, text: &str) {
    let mut seen = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&seen).contains(text) {
            assert_ne!(client.read_buf(&mut seen).await.unwrap(), 0, "{text}");
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap();
}
