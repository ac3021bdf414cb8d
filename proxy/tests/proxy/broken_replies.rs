//! Replies that break: a stream ends in an error that the client's SDK raises, anything else is
//! seen to be incomplete, and what arrived before is counted.

use crate::{
    actors::{
        CHAT, MESSAGES, MODEL, NEVER, RESPONSES, STREAMS, Speaks, Upstream, ask, ask_stream, begun,
        piece, sim, twins, whole,
    },
    support::{Proxy, bearer, served, table},
};
use futures::future::join_all;
use llm_sim::{Config, Fault, Injection};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_ends_in_the_error_event_of_its_dialect() {
    for speaks in Speaks::BOTH {
        for path in STREAMS {
            // Text has come by the sixth event, in every dialect.
            for fault in [
                Fault::ResetAfterEvents(6),
                Fault::CloseAfterEvents(6),
                Fault::EndAfterEvents(6),
                Fault::NoDone,
            ] {
                let (behind, _direct, mut proxy) = twins(Config::default()).await;
                behind.inject(fault);
                let events = speaks.stream(proxy.external, path, &ask_stream(path)).await;
                let text = events.rest().await.expect("a well-formed end");
                let last = text.trim_end().rsplit("\n\n").next().unwrap();
                assert!(tells_of_an_error(path, last), "{path} {fault} {speaks:?}: {text}");
                assert!(!text.contains("[DONE]"), "{path} {fault} {speaks:?}");
                let counted = proxy.usage().await;
                assert!(0 < counted.output_tokens, "{path} {fault} {speaks:?}: {counted:?}");
                proxy.until_metric(r#"status="200",end="broken"} 1"#).await;
            }
        }
    }
}

/// Whether an SDK raises an error for this event.
fn tells_of_an_error(path: &str, event: &str) -> bool {
    let (name, data) = event.rsplit_once("data: ").unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    match path {
        MESSAGES => name == "event: error\n" && data["type"] == "error",
        RESPONSES => name == "event: error\n" && data["error"]["message"].is_string(),
        _ => name.is_empty() && data["error"]["message"].is_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_http_in_the_middle_of_a_stream_break_it() {
    let (mut proxy, mut asked, events) = begun(Speaks::Http1).await;
    asked.write("\x00\x13 220 this is no chunk\r\n\r\n").await;
    let text = events.rest().await.unwrap();
    assert!(tells_of_an_error(CHAT, text.trim_end()), "{text}");
    assert_eq!(proxy.usage().await.output_tokens, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_event_before_the_break_does_not_hide_the_error() {
    let upstream = Upstream::bind().await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[upstream.url()])]))).await;
    let half = "data: {\"choices\":[{\"delta\":{\"con";
    let serve = async {
        let mut asked = upstream.asked().await;
        asked.begin().await;
        asked.say(&piece("well")).await;
        asked.say(half).await;
    };
    let options = json!({ "include_usage": true, "continuous_usage_stats": true });
    let body = ask(CHAT, &json!({ "stream": true, "stream_options": options }));
    let read =
        async { Speaks::Http1.stream(proxy.external, CHAT, &body).await.rest().await.unwrap() };
    let ((), text) = tokio::join!(serve, read);
    let error = text.trim_end().rsplit("\n\n").next().unwrap();
    assert!(tells_of_an_error(CHAT, error), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_s_own_error_event_is_passed_and_not_followed_by_ours() {
    let (behind, direct, proxy) = twins(Config::default()).await;
    behind.inject(Fault::ErrorAfterEvents(2));
    direct.inject(Fault::ErrorAfterEvents(2));
    let body = ask_stream(CHAT);
    assert_eq!(
        whole(Speaks::Http1, proxy.external, CHAT, &body).await,
        whole(Speaks::Http1, direct.addr(), CHAT, &body).await,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_of_a_stream_that_broke_serves_the_next_request() {
    let (behind, _direct, proxy) = twins(Config::default()).await;
    behind.inject(Injection::times(Fault::CloseAfterEvents(3), 1));
    let body = ask_stream(CHAT).to_string();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        bearer(),
        body.len(),
    );
    let mut client = TcpStream::connect(proxy.external).await.unwrap();
    for last in ["upstream_error", "[DONE]"] {
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"0\r\n\r\n") {
            assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "{last}");
        }
        assert!(String::from_utf8(answer).unwrap().contains(last), "{last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_before_its_first_event_is_no_answer() {
    for fault in [
        Fault::ResetAfterEvents(0),
        Fault::CloseAfterEvents(0),
        Fault::EndAfterEvents(0),
        Fault::Garbage,
    ] {
        for path in STREAMS {
            let (behind, _direct, proxy) = twins(Config::default()).await;
            behind.inject(fault);
            let answer = Speaks::Http1.post(proxy.external, path, &ask_stream(path)).await.unwrap();
            assert_eq!(answer.status(), 502, "{path} {fault}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_falls_silent_or_takes_too_long_ends_in_an_error_event() {
    // As long as a busy machine may take to begin, so all of them wait at the same time.
    const WAIT_MS: u64 = 6000;
    let cases = [
        (Some(Fault::StallAfterEvents(6)), WAIT_MS, 60_000, "upstream_error"),
        (Some(Fault::StallAfterEvents(6)), 60_000, WAIT_MS, "stream_cut"),
        (None, 60_000, WAIT_MS, "stream_cut"),
    ]
    .map(async |(fault, idle_ms, request_ms, code)| {
        let itl = if fault.is_some() { Duration::ZERO } else { Duration::from_millis(20) };
        let behind = sim(Config { itl, ..Config::default() }).await;
        let mut route = served(MODEL, &[behind.url()]);
        route["upstream"]["served"]["timeouts"] =
            json!({ "connectMs": 5000, "requestMs": request_ms, "idleMs": idle_ms });
        let mut proxy = Proxy::start(table(json!([route]))).await;
        fault.into_iter().for_each(|fault| behind.inject(fault));
        let more = json!({ "stream": true, "max_tokens": 1000, "ignore_eos": true });
        let events = Speaks::Http1.stream(proxy.external, CHAT, &ask(CHAT, &more)).await;
        let text = events.rest().await.expect("a well-formed end");
        let error = text.trim_end().rsplit("\n\n").next().unwrap();
        assert!(tells_of_an_error(CHAT, error) && error.contains(code), "{code}: {text}");
        assert!(0 < proxy.usage().await.output_tokens, "{code}");
        behind.wait_until(|state| state.running == 0).await.unwrap();
    });
    join_all(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_does_not_begin_within_the_time_for_the_exchange_is_given_up() {
    let behind = sim(Config { ttft: NEVER, ..Config::default() }).await;
    let mut route = served(MODEL, &[behind.url()]);
    route["upstream"]["served"]["timeouts"] =
        json!({ "connectMs": 5000, "requestMs": 100, "idleMs": 60_000 });
    let proxy = Proxy::start(table(json!([route]))).await;
    for stream in [false, true] {
        let body = ask(CHAT, &json!({ "stream": stream }));
        let answer = Speaks::Http1.post(proxy.external, CHAT, &body).await.unwrap();
        assert_eq!(answer.status(), 504, "{stream}");
        behind.wait_until(|state| state.running + state.waiting == 0).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_reply_that_breaks_is_seen_to_be_incomplete() {
    for speaks in Speaks::BOTH {
        for fault in
            [Fault::ResetAfterEvents(1), Fault::CloseAfterEvents(1), Fault::LongContentLength]
        {
            let (behind, _direct, proxy) = twins(Config::default()).await;
            behind.inject(fault);
            let body = ask(CHAT, &json!({}));
            let reply = speaks.post(proxy.external, CHAT, &body).await.unwrap();
            assert_eq!(reply.status(), 200, "{fault} {speaks:?}");
            assert!(reply.bytes().await.is_err(), "{fault} {speaks:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_beyond_a_reply_s_content_length_are_dropped() {
    let (behind, _direct, proxy) = twins(Config::default()).await;
    behind.inject(Injection::times(Fault::ShortContentLength, 1));
    for _ in 0..3 {
        let body = ask(CHAT, &json!({}));
        let reply = Speaks::Http1.post(proxy.external, CHAT, &body).await.unwrap();
        let reply: Value = reply.json().await.unwrap();
        assert_eq!(reply["object"], "chat.completion");
    }
    let connections: Vec<_> = behind.received().iter().map(|it| it.connection).collect();
    assert!(!connections[1..].contains(&connections[0]), "{connections:?}");
}
