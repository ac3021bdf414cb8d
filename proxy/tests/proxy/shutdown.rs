//! Shutdown: running requests end well, no new one begins, and none waits for ever.

use crate::{
    actors::{CHAT, MODEL, NEVER, Speaks, Upstream, ask, ask_stream, begun, piece, sim},
    pushed::Load,
    support::{PATIENCE, Proxy, bearer, served, table},
};
use llm_proxy::admin;
use llm_sim::Config;
use serde_json::{Value, json};
use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    task::JoinSet,
    time::MissedTickBehavior,
};

/// Begins to stop; what the stopping says when it is done.
fn stop(proxy: Proxy, drain: Duration) -> impl Future<Output = usize> {
    let Proxy { server, events, .. } = proxy;
    let mut stopping = JoinSet::new();
    stopping.spawn(async move {
        let _events = events;
        server.stop(drain).await
    });
    async move {
        let stopped = tokio::time::timeout(PATIENCE, stopping.join_next()).await;
        stopped.unwrap().unwrap().unwrap()
    }
}

async fn until_refused(at: SocketAddr) {
    let mut rounds = tokio::time::interval(Duration::from_millis(1));
    let refused = async {
        while TcpStream::connect(at).await.is_ok() {
            rounds.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_runs_ends_whole_and_nothing_new_begins() {
    for speaks in Speaks::BOTH {
        let (proxy, mut asked, events) = begun(speaks).await;
        let at = proxy.external;
        let stopped = stop(proxy, NEVER);
        until_refused(at).await;
        let rest = format!("{}data: [DONE]\n\n", piece("after"));
        asked.say(&rest).await;
        asked.end().await;
        assert_eq!(events.rest().await.unwrap(), rest, "{speaks:?}");
        assert_eq!(stopped.await, 0, "{speaks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_too_long_is_cut_with_an_error_and_counted() {
    for speaks in Speaks::BOTH {
        let (proxy, _asked, events) = begun(speaks).await;
        let stopped = stop(proxy, Duration::from_millis(1));
        let rest = events.rest().await.expect("a well-formed end");
        let error: Value = serde_json::from_str(rest.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(error["error"]["code"], "stream_cut", "{speaks:?}");
        assert_eq!(stopped.await, 1, "{speaks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_reply_that_is_cut_is_seen_to_be_incomplete() {
    for speaks in Speaks::BOTH {
        let upstream = Upstream::bind().await;
        let proxy = Proxy::start(table(json!([served(MODEL, &[upstream.url()])]))).await;
        let serve = async {
            let mut asked = upstream.asked().await;
            asked.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            asked.say("{\"id\":").await;
            asked
        };
        let body = ask(CHAT, &json!({}));
        let (_asked, reply) = tokio::join!(serve, speaks.post(proxy.external, CHAT, &body));
        assert_eq!(stop(proxy, Duration::from_millis(1)).await, 1, "{speaks:?}");
        assert!(reply.unwrap().bytes().await.is_err(), "{speaks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_in_full_flow_is_cut_too() {
    let (proxy, mut asked, events) = begun(Speaks::Http1).await;
    let piece = piece("x");
    let flow = asked.say_until_closed(&piece);
    let (rest, cut, ()) = tokio::join!(events.rest(), stop(proxy, Duration::from_millis(50)), flow);
    assert!(rest.unwrap().contains("stream_cut"));
    assert_eq!(cut, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_still_waits_for_a_first_token_is_told_to_ask_elsewhere() {
    let sim = sim(Config { ttft: NEVER, ..Config::default() }).await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()])]))).await;
    let asking = Speaks::Http1.post(proxy.external, CHAT, &ask(CHAT, &json!({})));
    let stopping = async {
        sim.wait_until(|state| state.running == 1).await.unwrap();
        stop(proxy, Duration::from_millis(1)).await
    };
    let (answer, cut) = tokio::join!(asking, stopping);
    assert_eq!((answer.unwrap().status().as_u16(), cut), (503, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_wait_for_their_next_request_are_closed() {
    let (proxy, asked, events) = begun(Speaks::Http1).await;
    let mut idle = TcpStream::connect(proxy.external).await.unwrap();
    let request =
        format!("GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\n\r\n", bearer());
    idle.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert_ne!(idle.read_buf(&mut answer).await.unwrap(), 0);
    }
    let silent = TcpStream::connect(proxy.external).await.unwrap();
    proxy.until_metric(r#"end="answered"} 1"#).await;
    let stopped = stop(proxy, Duration::from_millis(100));
    for mut connection in [idle, silent] {
        let read = tokio::time::timeout(PATIENCE, connection.read_buf(&mut answer)).await.unwrap();
        assert!(read.is_err() || read.is_ok_and(|count| count == 0));
    }
    drop((asked, events));
    stopped.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_on_an_open_connection_is_answered_and_then_the_connection_closes() {
    let (proxy, _asked, _events) = begun(Speaks::Http1).await;
    let mut open = TcpStream::connect(proxy.external).await.unwrap();
    let request =
        format!("GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\n\r\n", bearer());
    let (start, end) = request.split_at(30);
    open.write_all(start.as_bytes()).await.unwrap();
    let at = proxy.external;
    let gateway = Arc::clone(&proxy.gateway);
    let stopped = stop(proxy, Duration::from_millis(200));
    until_refused(at).await;
    assert!(gateway.drain.is_cancelled());
    // It may have been closed before the request was whole, but never in the middle of an answer.
    let _ = open.write_all(end.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, open.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.is_empty() || answer.ends_with(b"}"), "{}", String::from_utf8_lossy(&answer));
    stopped.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_ends_when_stopping_begins() {
    let (proxy, mut asked, events) = begun(Speaks::Http1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ready = format!("http://{}/readyz", listener.local_addr().unwrap());
    let mut admin_task = JoinSet::new();
    let router = admin::router(Arc::clone(&proxy.gateway));
    admin_task.spawn(async move { axum::serve(listener, router).await });
    assert_eq!(reqwest::get(&ready).await.unwrap().status(), 200);
    let at = proxy.external;
    let stopped = stop(proxy, NEVER);
    until_refused(at).await;
    assert_eq!(reqwest::get(&ready).await.unwrap().status(), 503);
    asked.say("data: [DONE]\n\n").await;
    asked.end().await;
    events.rest().await.unwrap();
    assert_eq!(stopped.await, 0);
}

#[test]
fn what_was_answered_has_left_when_the_process_ends() {
    for speaks in Speaks::BOTH {
        // The gateway has a runtime of its own, which ends as a process does: at once. With one
        // thread it does nothing more when the stopping is done.
        let outside = Runtime::new().unwrap();
        let inside = Builder::new_current_thread().enable_all().build().unwrap();
        let sim = outside.block_on(sim(Config::default()));
        let proxy = inside.block_on(Proxy::start(table(json!([served(MODEL, &[sim.url()])]))));
        let at = proxy.external;
        let body = ask_stream(CHAT);
        let reading =
            outside.spawn(async move { speaks.stream(at, CHAT, &body).await.rest().await });
        let cut = inside.block_on(async {
            sim.wait_until(|state| 0 < state.received).await.unwrap();
            stop(proxy, PATIENCE).await
        });
        inside.shutdown_background();
        let read = outside.block_on(reading).unwrap().expect("a well-formed end");
        assert!(read.ends_with("data: [DONE]\n\n"), "{speaks:?}: {read}");
        assert_eq!(cut, 0, "{speaks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_tables_under_load_fail_no_request() {
    const CLIENTS: usize = 6;
    const REQUESTS: usize = 100;
    let (one, two) = (sim(Config::default()).await, sim(Config::default()).await);
    let mut tables = table(json!([]));
    let mut with = |sims: &[&llm_sim::Sim]| {
        let urls: Vec<_> = sims.iter().map(|sim| sim.url()).collect();
        tables["routes"] = json!([served(MODEL, &urls)]);
        tables.clone()
    };
    let tables = [with(&[&one]), with(&[&two]), with(&[&one, &two])];
    let proxy = Proxy::start(tables[0].clone()).await;
    let load = Load::on(&proxy.url(CHAT), CLIENTS);
    let answered = async {
        load.until_more(REQUESTS).await;
        for sim in [&one, &two] {
            sim.wait_until(|state| 0 < state.received).await.unwrap();
        }
    };
    let mut rounds = tokio::time::interval(Duration::from_millis(2));
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let changed = async {
        for next in tables.iter().cycle() {
            rounds.tick().await;
            proxy.update(next.clone());
        }
    };
    tokio::select! {
        () = answered => {}
        () = changed => {}
    }
    load.end().await;
}
