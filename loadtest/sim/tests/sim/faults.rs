//! Every fault, seen from the other end of the wire.

use std::io::ErrorKind;
use std::time::Duration;

use http::Version;
use http_body_util::BodyExt as _;
use llm_sim::{Config, Ended, Ending, Fault, Injection, Sim};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::support::{Answer, exchange_raw, get, open, post, raw_request, request, send};

const CHAT: &str = "/v1/chat/completions";

async fn sim() -> Sim {
    Sim::start(Config { allow_faults: true, ..Config::default() }).await.unwrap()
}

fn body(stream: bool) -> String {
    json!({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "stream": stream})
        .to_string()
}

/// The bytes a fault lets through, and how the connection ends.
async fn raw(fault: Fault, stream: bool) -> (String, std::io::Result<usize>) {
    let sim = sim().await;
    let bytes = raw_request(CHAT, &format!("x-sim-fault: {fault}\r\n"), &body(stream));
    let (seen, ended) = exchange_raw(sim.addr(), &bytes).await;
    sim.wait_until(|state| state.running == 0 && state.aborted + state.completed == 1)
        .await
        .unwrap();
    (String::from_utf8_lossy(&seen).into_owned(), ended)
}

async fn answer(fault: Fault, stream: bool) -> Answer {
    let fault = fault.to_string();
    let asked = request("POST", CHAT, &[("x-sim-fault", &fault)], &body(stream));
    send(&sim().await, asked).await.unwrap()
}

fn events(seen: &str) -> usize {
    seen.matches("data: ").count()
}

fn is_reset(ended: &std::io::Result<usize>) -> bool {
    matches!(ended, Err(error) if error.kind() == ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn reset_before_headers_sends_nothing_but_the_reset() {
    let (seen, ended) = raw(Fault::ResetBeforeHeaders, true).await;
    assert_eq!(seen, "");
    assert!(is_reset(&ended), "{ended:?}");
}

#[tokio::test]
async fn reset_after_events_lets_so_many_through() {
    for wanted in [1, 3] {
        let (seen, ended) = raw(Fault::ResetAfterEvents(wanted), true).await;
        assert_eq!(events(&seen), wanted);
        assert!(is_reset(&ended), "{ended:?}");
    }
}

#[tokio::test]
async fn reset_after_events_breaks_a_whole_answer_in_the_middle() {
    let (seen, ended) = raw(Fault::ResetAfterEvents(1), false).await;
    assert!(seen.contains("chat.completion") && !seen.contains("\"usage\""), "{seen}");
    assert!(is_reset(&ended), "{ended:?}");
}

#[tokio::test]
async fn reset_after_bytes_counts_the_head() {
    let (seen, ended) = raw(Fault::ResetAfterBytes(40), true).await;
    assert_eq!(seen.len(), 40);
    assert!(is_reset(&ended), "{ended:?}");
}

#[tokio::test]
async fn close_after_events_ends_without_the_last_chunk() {
    let (seen, ended) = raw(Fault::CloseAfterEvents(2), true).await;
    assert_eq!(events(&seen), 2);
    assert!(!seen.ends_with("0\r\n\r\n"));
    assert!(ended.is_ok(), "{ended:?}");
}

#[tokio::test]
async fn error_after_events_is_the_event_of_a_dead_engine() {
    let events = answer(Fault::ErrorAfterEvents(2), true).await.events();
    assert_eq!(events.len(), 4);
    assert!(events[2].starts_with("{\"error\": {\"message\": \"EngineCore encountered an issue."));
    assert_eq!(events[3], "[DONE]");
}

#[tokio::test]
async fn end_after_events_and_no_done_end_well_formed_but_early() {
    assert_eq!(answer(Fault::EndAfterEvents(2), true).await.events().len(), 2);
    let without_done = answer(Fault::NoDone, true).await;
    assert_eq!(without_done.events().len(), 6);
    assert!(!without_done.text.contains("[DONE]"));
}

#[tokio::test]
async fn error_first_event_refuses_a_stream_within_its_200() {
    let stream = answer(Fault::ErrorFirstEvent, true).await;
    assert_eq!(stream.status, 200);
    assert!(stream.events()[0].contains("The engine is currently busy"));
    assert_eq!(answer(Fault::ErrorFirstEvent, false).await.status, 503);
}

#[tokio::test]
async fn statuses_come_with_their_bodies() {
    for (fault, status, text) in [
        (Fault::Status(503), 503, "currently busy"),
        (Fault::Status(500), 500, "EngineCore"),
        (Fault::Status(429), 429, "rate_limit_exceeded"),
        (Fault::Status(418), 418, "InjectedError"),
        (Fault::ShuttingDown, 500, "cannot schedule new futures after shutdown"),
    ] {
        let answer = answer(fault, true).await;
        assert_eq!(answer.status, status);
        assert!(answer.text.contains(text), "{}", answer.text);
        assert_eq!(answer.headers.contains_key("retry-after"), status == 429);
    }
}

#[tokio::test]
async fn a_stall_lasts_until_the_client_gives_up() {
    let sim = sim().await;
    for fault in [Fault::StallBeforeHeaders, Fault::StallAfterEvents(1)] {
        let before = sim.state().aborted;
        let bytes = raw_request(CHAT, &format!("x-sim-fault: {fault}\r\n"), &body(true));
        let mut socket = TcpStream::connect(sim.addr()).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
        if fault == Fault::StallAfterEvents(1) {
            let mut seen = Vec::new();
            while !seen.ends_with(b"\n\n\r\n") {
                seen.push(socket.read_u8().await.unwrap());
            }
        }
        let silence = timeout(Duration::from_millis(100), socket.read_u8()).await;
        assert!(silence.is_err(), "{fault}: {silence:?}");
        drop(socket);
        sim.wait_until(|state| state.aborted == before + 1 && state.running == 0).await.unwrap();
    }
}

#[tokio::test]
async fn slow_headers_drip_and_the_body_follows() {
    let start = Instant::now();
    let answer = answer(Fault::SlowHeaders(1), true).await;
    assert_eq!(answer.events().last().unwrap(), "[DONE]");
    assert!(start.elapsed() > Duration::from_millis(100), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_long_content_length_is_not_kept() {
    let (seen, ended) = raw(Fault::LongContentLength, false).await;
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len() + 100)), "{head}");
    assert!(ended.is_ok());
}

#[tokio::test]
async fn a_short_content_length_leaves_bytes_on_an_open_connection() {
    let sim = sim().await;
    let bytes = raw_request(CHAT, "x-sim-fault: short-content-length\r\n", &body(false));
    let mut socket = TcpStream::connect(sim.addr()).await.unwrap();
    socket.write_all(&bytes).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"smuggled!") {
        seen.push(socket.read_u8().await.unwrap());
    }
    socket.write_all(b"GET /version HTTP/1.1\r\nhost: sim\r\n\r\n").await.unwrap();
    while !seen.ends_with(b"0.32.0\"}") {
        seen.push(socket.read_u8().await.unwrap());
    }
    assert_eq!(sim.received()[0].connection, sim.received()[1].connection);
}

#[tokio::test]
async fn garbage_is_no_http() {
    let (seen, ended) = raw(Fault::Garbage, true).await;
    assert!(!seen.starts_with("HTTP") && !seen.is_empty());
    assert!(ended.is_ok(), "{ended:?}");
}

#[tokio::test]
async fn a_huge_header_is_as_huge_as_asked() {
    let sim = sim().await;
    let headers = "x-sim-fault: huge-header=70000\r\nconnection: close\r\n";
    let (seen, _) = exchange_raw(sim.addr(), &raw_request(CHAT, headers, &body(false))).await;
    assert!(String::from_utf8_lossy(&seen).contains(&"h".repeat(70_000)));
}

#[tokio::test]
async fn a_reused_connection_is_closed_under_the_second_request() {
    let sim = sim().await;
    sim.inject(Fault::CloseOnReuse);
    let bytes = raw_request(CHAT, "", &body(false));
    let (seen, _) = exchange_raw(sim.addr(), &[bytes.clone(), bytes].concat()).await;
    assert_eq!(String::from_utf8_lossy(&seen).matches("HTTP/1.1 200").count(), 1);
    sim.wait_until(|state| state.aborted == 1).await.unwrap();
    assert_eq!(sim.received().last().unwrap().ended, Ended::Aborted);
}

#[tokio::test]
async fn reset_on_accept_hits_so_many_connections() {
    let sim = sim().await;
    sim.inject(Injection::times(Fault::ResetOnAccept, 1));
    let (_, ended) = exchange_raw(sim.addr(), b"").await;
    assert!(is_reset(&ended), "{ended:?}");
    assert_eq!(get(&sim, "/health").await.status, 200);
}

#[tokio::test]
async fn a_stopped_listener_refuses_and_comes_back_on_its_port() {
    let sim = sim().await;
    sim.stop_listening().await;
    let refused = TcpStream::connect(sim.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    sim.resume().await.unwrap();
    assert_eq!(get(&sim, "/health").await.status, 200);
}

#[tokio::test]
async fn cut_connections_break_streams_under_way() {
    // No stream ends before it is cut.
    let config = Config { itl: Duration::from_secs(3600), ..Config::default() };
    let sim = Sim::start(config).await.unwrap();
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut asked = request("POST", CHAT, &[], &body(true));
        *asked.version_mut() = version;
        let mut reply = open(sim.addr(), asked).await.unwrap();
        reply.body_mut().frame().await.unwrap().unwrap();
        sim.cut_connections(Ending::Reset);
        assert!(reply.into_body().collect().await.is_err());
        sim.wait_until(|state| state.connections == 0 && state.running == 0).await.unwrap();
    }
}

#[tokio::test]
async fn a_header_that_names_no_fault_is_refused() {
    let asked = request("POST", CHAT, &[("x-sim-fault", "explode")], &body(false));
    let answer = send(&sim().await, asked).await.unwrap();
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("explode"), "{}", answer.text);
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let sim = sim().await;
    let addr = sim.addr();
    let mut open = TcpStream::connect(addr).await.unwrap();
    sim.wait_until(|state| state.connections == 1).await.unwrap();
    drop(sim);
    let end = timeout(crate::support::DEADLINE, open.read(&mut [0])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

#[tokio::test]
async fn a_fault_spares_probes_and_other_paths() {
    let sim = sim().await;
    sim.inject(Fault::Status(503));
    assert_eq!(get(&sim, "/health").await.status, 200);
    sim.inject(Injection { path_prefix: Some("/health".into()), ..Fault::Status(503).into() });
    assert_eq!(get(&sim, "/health").await.status, 503);
    assert_eq!(post(&sim, "/v1/completions", &json!({"prompt": "Hi"})).await.status, 200);
    sim.heal();
    assert_eq!(get(&sim, "/health").await.status, 200);
}

#[tokio::test]
async fn the_header_means_nothing_where_faults_are_not_allowed() {
    let sim = Sim::start(Config::default()).await.unwrap();
    let asked = request("POST", CHAT, &[("x-sim-fault", "status=503")], &body(false));
    assert_eq!(send(&sim, asked).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_reply_is_never_compressed() {
    let sim = sim().await;
    let asked = request("POST", CHAT, &[("accept-encoding", "gzip, br")], &body(true));
    let answer = send(&sim, asked).await.unwrap();
    assert!(!answer.headers.contains_key("content-encoding"));
    assert_eq!(answer.events().last().unwrap(), "[DONE]");
}
