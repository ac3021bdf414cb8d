//! Streams pass as they come: unbuffered, byte for byte, without what the client did not ask for.

use crate::{
    actors::{
        CHAT, COMPLETIONS, Events, MESSAGES, MODEL, NEVER, RESPONSES, STREAMS, Speaks, Upstream,
        ask, ask_stream, begun, piece, sim, timeless, twins, whole,
    },
    support::{Proxy, bearer, raw, served, table},
};
use llm_sim::{Config, Role, Sim};
use serde_json::{Value, json};

/// A table with one provider that serves [`MODEL`].
fn provided(sim: &Sim) -> Value {
    let mut table = table(json!([{
        "model": MODEL, "access": { "public": true },
        "upstream": { "provider": { "name": "elsewhere" } },
    }]));
    table["providers"] = json!([{ "name": "elsewhere", "url": sim.url() }]);
    table
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_what_the_server_says_byte_for_byte() {
    for speaks in Speaks::BOTH {
        for path in STREAMS {
            let (_behind, direct, proxy) = twins(Config::default()).await;
            let body = ask_stream(path);
            assert_eq!(
                whole(speaks, proxy.external, path, &body).await,
                whole(speaks, direct.addr(), path, &body).await,
                "{path} {speaks:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_that_the_client_asked_for_is_passed_and_no_other() {
    for path in [CHAT, COMPLETIONS] {
        for options in [
            json!({ "include_usage": true }),
            json!({ "include_usage": true, "continuous_usage_stats": true }),
            json!({ "include_usage": true, "continuous_usage_stats": false }),
            json!({ "continuous_usage_stats": true }),
            json!({ "include_usage": false }),
            json!({}),
            json!(null),
        ] {
            let (_behind, direct, proxy) = twins(Config::default()).await;
            let body = ask(path, &json!({ "stream": true, "stream_options": options }));
            assert_eq!(
                whole(Speaks::Http1, proxy.external, path, &body).await,
                whole(Speaks::Http1, direct.addr(), path, &body).await,
                "{path} {options}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_counts_what_the_same_answer_counts_in_one_piece() {
    for path in STREAMS {
        let (_behind, direct, mut proxy) = twins(Config::default()).await;
        whole(Speaks::Http1, proxy.external, path, &ask_stream(path)).await;
        let counted = proxy.usage().await;
        let reply = Speaks::Http1.post(direct.addr(), path, &ask(path, &json!({}))).await.unwrap();
        let usage = reply.json::<Value>().await.unwrap()["usage"].clone();
        let told = |names: [&str; 2]| names.iter().find_map(|name| usage[*name].as_u64());
        assert_eq!(Some(counted.input_tokens), told(["prompt_tokens", "input_tokens"]), "{path}");
        let output = told(["completion_tokens", "output_tokens"]);
        assert_eq!(Some(counted.output_tokens), output, "{path}");
        assert!(!counted.estimated, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_not_asked_what_only_a_model_server_knows() {
    let config = Config { role: Role::Provider, ..Config::default() };
    let (behind, direct) = (sim(config.clone()).await, sim(config).await);
    let mut proxy = Proxy::start(provided(&behind)).await;
    for path in [CHAT, COMPLETIONS] {
        for options in
            [json!(null), json!({ "include_usage": false }), json!({ "include_usage": true })]
        {
            let body = ask(path, &json!({ "stream": true, "stream_options": options }));
            assert_eq!(
                whole(Speaks::Http1, proxy.external, path, &body).await,
                whole(Speaks::Http1, direct.addr(), path, &body).await,
                "{path} {options}"
            );
            let counted = proxy.usage().await;
            assert_eq!((counted.status, counted.estimated), (200, false), "{path} {options}");
            assert!(0 < counted.output_tokens, "{path} {options}");
        }
    }
    for request in behind.received() {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["stream_options"], json!({ "include_usage": true }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_asked_for_usage_only_where_its_protocol_has_the_option() {
    let behind = sim(Config { role: Role::Provider, ..Config::default() }).await;
    let proxy = Proxy::start(provided(&behind)).await;
    for path in [RESPONSES, MESSAGES] {
        let body = ask_stream(path);
        let response = Speaks::Http1.post(proxy.external, path, &body).await.unwrap();
        let sent: Value = serde_json::from_slice(&behind.received()[0].body).unwrap();
        assert_eq!(sent, body, "{path}");
        drop(response);
        behind.clear_received();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_event_arrives_while_the_server_still_works() {
    for speaks in Speaks::BOTH {
        for path in STREAMS {
            let (behind, _direct, proxy) = twins(Config { itl: NEVER, ..Config::default() }).await;
            let mut events = speaks.stream(proxy.external, path, &ask_stream(path)).await;
            assert!(events.next().await.contains("data: "), "{path} {speaks:?}");
            assert_eq!(behind.state().running, 1, "{path} {speaks:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_arrives_before_the_next_one_is_made() {
    for speaks in Speaks::BOTH {
        let (_proxy, mut asked, mut events) = begun(speaks).await;
        for text in ["1", "2", "3", "4", "5"] {
            asked.say(&piece(text)).await;
            assert_eq!(events.next().await, piece(text), "{speaks:?}");
        }
        asked.say("data: [DONE]\n\n").await;
        asked.end().await;
        assert_eq!(events.rest().await.unwrap(), "data: [DONE]\n\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_pieces_of_a_stream_break_does_not_matter() {
    let upstream = Upstream::bind().await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[upstream.url()])]))).await;
    let text = format!(": ping\n\n{}{}data: [DONE]\n\n", piece("ü"), piece("\n\n"));
    let serve = async {
        let mut asked = upstream.asked().await;
        asked.begin().await;
        for byte in text.chars() {
            asked.say(&byte.to_string()).await;
        }
        asked.end().await;
        asked
    };
    let read = async {
        let events = Speaks::Http1.stream(proxy.external, CHAT, &ask_stream(CHAT)).await;
        events.rest().await.unwrap()
    };
    let (_open, read) = tokio::join!(serve, read);
    assert_eq!(read, text);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_between_us_and_the_client_may_hold_a_stream_back() {
    for speaks in Speaks::BOTH {
        let (_behind, _direct, proxy) = twins(Config::default()).await;
        let events = speaks.stream(proxy.external, CHAT, &ask_stream(CHAT)).await;
        let headers = events.response.headers();
        for (name, value) in [
            ("content-type", "text/event-stream; charset=utf-8"),
            ("cache-control", "no-cache"),
            ("x-accel-buffering", "no"),
            ("x-request-id", "the-same"),
        ] {
            assert_eq!(headers[name], value, "{speaks:?}");
        }
        for name in ["content-encoding", "content-length", "server"] {
            assert!(!headers.contains_key(name), "{name} {speaks:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_event_of_any_size_passes() {
    for options in [json!(null), json!({ "include_usage": true })] {
        let upstream = Upstream::bind().await;
        let proxy = Proxy::start(table(json!([served(MODEL, &[upstream.url()])]))).await;
        let text = format!("{}data: [DONE]\n\n", piece(&"x".repeat(300_000)));
        let serve = async {
            let mut asked = upstream.asked().await;
            asked.begin().await;
            asked.say(&text).await;
            asked.end().await;
            asked
        };
        let body = ask(CHAT, &json!({ "stream": true, "stream_options": options }));
        let read = async {
            let events = Speaks::Http1.stream(proxy.external, CHAT, &body).await;
            events.rest().await.unwrap()
        };
        let (_open, read) = tokio::join!(serve, read);
        assert!(read == text, "{options}: {} of {} bytes", read.len(), text.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcription_s_stream_is_what_the_server_says_byte_for_byte() {
    let (_behind, direct, proxy) = twins(Config::default()).await;
    let form = "--b\r\ncontent-disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n\
        --b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\ntiny\r\n\
        --b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--b--\r\n";
    let read = async |at| {
        let request = Speaks::Http1.client().post(format!("http://{at}/v1/audio/transcriptions"));
        let request = request.header("authorization", bearer()).header("x-request-id", "the-same");
        let request = request.header("content-type", "multipart/form-data; boundary=b");
        timeless(&request.body(form).send().await.unwrap().text().await.unwrap())
    };
    let text = read(proxy.external).await;
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(text, read(direct.addr()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http_1_0_reads_a_stream_until_the_connection_closes() {
    let (_behind, _direct, proxy) = twins(Config::default()).await;
    let body = ask_stream(CHAT).to_string();
    let request = format!(
        "POST {CHAT} HTTP/1.0\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        bearer(),
        body.len(),
    );
    let answer = raw(proxy.external, request.as_bytes()).await;
    let (header, events) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!header.to_lowercase().contains("transfer-encoding"), "{header}");
    assert!(events.starts_with("data: {"), "{events}");
    assert!(events.ends_with("data: [DONE]\n\n"), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_before_the_first_event_are_passed() {
    let upstream = Upstream::bind().await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[upstream.url()])]))).await;
    let ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
    let serve = async {
        let mut asked = upstream.asked().await;
        asked.begin().await;
        asked.say(ping).await;
        asked.say(&piece("well")).await;
        asked
    };
    let body = ask_stream(CHAT);
    let (_open, mut events): (_, Events) =
        tokio::join!(serve, Speaks::Http1.stream(proxy.external, CHAT, &body));
    assert_eq!(events.next().await, ping);
    assert_eq!(events.next().await, piece("well"));
}
