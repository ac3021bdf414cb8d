//! What an exchange cost, and whom; and what a new table changes while exchanges run.

use crate::{
    actors::{
        CHAT, COMPLETIONS, MESSAGES, MODEL, RESPONSES, Speaks, Upstream, ask, ask_stream, begun,
        piece, sim,
    },
    support::{ME, Proxy, bearer, key, record, served, table},
};
use llm_sim::{Config, Role, Sim};
use serde_json::{Value, json};

const OTHER: &str = "otherotherot";

async fn start() -> (Sim, Proxy) {
    let sim = sim(Config::default()).await;
    let proxy = Proxy::start(table(json!([served(MODEL, &[sim.url()])]))).await;
    (sim, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exchange_makes_one_event_that_says_who_asked_for_what() {
    let (_sim, mut proxy) = start().await;
    for (path, operation) in [
        (CHAT, "chat"),
        (COMPLETIONS, "completions"),
        (RESPONSES, "responses"),
        (MESSAGES, "messages"),
    ] {
        for stream in [false, true] {
            let body = ask(path, &json!({ "stream": stream }));
            let reply = Speaks::Http1.post(proxy.external, path, &body).await.unwrap();
            reply.bytes().await.unwrap();
            let event = proxy.usage().await;
            assert_eq!(event.request, "the-same");
            assert_eq!(event.key.as_deref(), Some(ME));
            assert_eq!((event.owner.as_str(), event.model.as_str()), ("alice", MODEL));
            assert_eq!((event.upstream.as_str(), event.operation.as_str()), ("served", operation));
            assert_eq!((event.status, event.estimated), (200, false));
            assert!(0 < event.input_tokens, "{event:?}");
            assert!((1..=12).contains(&event.output_tokens), "{event:?}");
            assert!(event.first_byte_ms.unwrap() <= event.duration_ms, "{event:?}");
        }
    }
    assert!(proxy.events.try_recv().is_err(), "one event for each");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_from_the_cache_are_counted_in_the_input_of_every_dialect() {
    for path in [CHAT, COMPLETIONS, RESPONSES, MESSAGES] {
        let (_sim, mut proxy) = start().await;
        let long = "Say something about the weather, the sea and the mountains. ".repeat(20);
        let more = match path {
            COMPLETIONS => json!({ "prompt": long }),
            RESPONSES => json!({ "input": long }),
            _ => json!({ "messages": [{ "role": "user", "content": long }] }),
        };
        for stream in [false, true] {
            let mut body = ask(path, &more);
            body["stream"] = stream.into();
            let mut events = Vec::new();
            for _ in 0..2 {
                let reply = Speaks::Http1.post(proxy.external, path, &body).await.unwrap();
                reply.bytes().await.unwrap();
                events.push(proxy.usage().await);
            }
            let [first, second] = &events[..] else { panic!("two") };
            assert_eq!(first.input_tokens, second.input_tokens, "{path} {stream}");
            assert!(0 < second.cached_tokens, "{path} {stream} {second:?}");
            assert!(second.cached_tokens <= second.input_tokens, "{path} {stream} {second:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_without_a_text_for_an_answer_make_events_too() {
    let (_sim, mut proxy) = start().await;
    for (path, operation, body) in [
        ("/v1/embeddings", "embeddings", json!({ "model": MODEL, "input": ["one", "two"] })),
        (
            "/v1/rerank",
            "rerank",
            json!({ "model": MODEL, "query": "q", "documents": ["one", "two"] }),
        ),
        ("/v1/score", "score", json!({ "model": MODEL, "text_1": "one", "text_2": "two" })),
    ] {
        let reply = Speaks::Http1.post(proxy.external, path, &body).await.unwrap();
        assert_eq!(reply.status(), 200, "{path}");
        let told: Value = reply.json().await.unwrap();
        let told =
            told["usage"]["prompt_tokens"].as_u64().or(told["usage"]["total_tokens"].as_u64());
        let event = proxy.usage().await;
        assert_eq!(event.operation, operation);
        assert_eq!((Some(event.input_tokens), event.output_tokens), (told, 0), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcription_makes_an_event() {
    let (_sim, mut proxy) = start().await;
    let form = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n\
        --b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\ntiny\r\n--b--\r\n";
    let reply = Speaks::Http1
        .client()
        .post(proxy.url("/v1/audio/transcriptions"))
        .header("authorization", bearer())
        .header("content-type", "multipart/form-data; boundary=b")
        .body(form)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), 200);
    let event = proxy.usage().await;
    assert_eq!((event.operation.as_str(), event.status), ("transcriptions", 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_s_pictures_make_an_event() {
    let sim = sim(Config { role: Role::Provider, ..Config::default() }).await;
    let mut table = table(json!([{
        "model": MODEL, "access": { "public": true },
        "upstream": { "provider": { "name": "elsewhere" } },
    }]));
    table["providers"] = json!([{ "name": "elsewhere", "url": sim.url() }]);
    let mut proxy = Proxy::start(table).await;
    let body = json!({ "model": MODEL, "prompt": "a cat" });
    let path = "/v1/images/generations";
    let reply = Speaks::Http1.post(proxy.external, path, &body).await.unwrap();
    let told = reply.json::<Value>().await.unwrap()["usage"].clone();
    let event = proxy.usage().await;
    assert_eq!((event.operation.as_str(), event.upstream.as_str()), ("images", "provider"));
    assert_eq!(Some(event.input_tokens), told["input_tokens"].as_u64());
    assert_eq!(Some(event.output_tokens), told["output_tokens"].as_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_we_did_not_see_asked_for_is_counted_too() {
    let upstream = Upstream::bind().await;
    let mut proxy = Proxy::start(table(json!([served(MODEL, &[upstream.url()])]))).await;
    let serve = async {
        let mut asked = upstream.asked().await;
        asked.begin().await;
        asked.say(&format!("{}data: [DONE]\n\n", piece("well"))).await;
        asked.end().await;
    };
    // Go's parser takes it for `stream`.
    let body = ask(CHAT, &json!({ "\u{17f}tream": true }));
    let reply = Speaks::Http1.post(proxy.external, CHAT, &body);
    let ((), reply) = tokio::join!(serve, reply);
    assert!(reply.unwrap().text().await.unwrap().ends_with("data: [DONE]\n\n"));
    assert_eq!(proxy.usage().await.output_tokens, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_refuse_costs_nothing() {
    let (_sim, mut proxy) = start().await;
    let client = Speaks::Http1.client();
    let post = |path| client.post(proxy.url(path)).header("authorization", bearer());
    for request in [
        client.post(proxy.url(CHAT)).json(&ask(CHAT, &json!({}))),
        post(CHAT).body("{}"),
        post(CHAT).json(&json!({ "model": "nobody-serves-this" })),
        post("/v1/nothing"),
    ] {
        assert!(request.send().await.unwrap().status().is_client_error());
    }
    proxy.chat(MODEL).await;
    assert_eq!(proxy.usage().await.status, 200);
    assert!(proxy.events.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_what_the_events_say() {
    let (_sim, mut proxy) = start().await;
    proxy.chat(MODEL).await;
    proxy.chat("nobody-serves-this").await;
    let event = proxy.usage().await;
    for line in [
        r#"llm_proxy_requests_total{route="tiny",operation="chat",status="200",end="complete"} 1"#,
        r#"llm_proxy_requests_total{route="",operation="chat",status="404",end="rejected"} 1"#,
        r#"llm_proxy_rejections_total{code="model_not_found"} 1"#,
        &format!(
            r#"llm_proxy_tokens_total{{route="tiny",direction="input"}} {}"#,
            event.input_tokens
        ),
        &format!(
            r#"llm_proxy_tokens_total{{route="tiny",direction="output"}} {}"#,
            event.output_tokens
        ),
        r#"llm_proxy_time_to_first_token_seconds_count{route="tiny"} 1"#,
        r#"llm_proxy_request_duration_seconds_count{route="tiny"} 1"#,
        "llm_proxy_requests_running 0",
        "llm_proxy_usage_events_lost_total 0",
        "llm_proxy_table_revision 1",
    ] {
        proxy.until_metric(line).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_table_does_not_disturb_a_stream_and_holds_for_the_next_request() {
    let (mut proxy, mut asked, events) = begun(Speaks::Http1).await;
    let mut nothing = table(json!([]));
    nothing["revision"] = 2.into();
    proxy.update(nothing);
    assert_eq!(proxy.chat(MODEL).await.status(), 404);
    proxy.until_metric("llm_proxy_table_revision 2").await;

    asked.say(&format!("{}data: [DONE]\n\n", piece("after"))).await;
    asked.end().await;
    let rest = events.rest().await.unwrap();
    assert_eq!(rest, format!("{}data: [DONE]\n\n", piece("after")));
    assert_eq!(proxy.usage().await.model, MODEL);
}

/// Two servers of a model, and a response that one of them made.
async fn with_response() -> (Sim, Sim, Proxy, Value, String) {
    let (one, two) = (sim(Config::default()).await, sim(Config::default()).await);
    let mut table = table(json!([served(MODEL, &[one.url(), two.url()])]));
    table["keys"] = json!([record(ME, &["ml-team"]), record(OTHER, &["ml-team"])]);
    let proxy = Proxy::start(table.clone()).await;
    let body = ask(RESPONSES, &json!({}));
    let reply = Speaks::Http1.post(proxy.external, RESPONSES, &body).await.unwrap();
    let id = reply.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    (one, two, proxy, table, id)
}

async fn by_id(proxy: &Proxy, id: &str, who: &str, cancel: bool) -> reqwest::Response {
    let client = Speaks::Http1.client();
    let path = format!("{RESPONSES}/{id}");
    let request = if cancel {
        client.post(proxy.url(&format!("{path}/cancel")))
    } else {
        client.get(proxy.url(&path))
    };
    request.bearer_auth(key(who).reveal()).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_response_is_asked_for_where_it_was_made() {
    let (one, two, proxy, _table, id) = with_response().await;
    let (home, other) = if one.received().is_empty() { (&two, &one) } else { (&one, &two) };
    for _ in 0..4 {
        let reply = by_id(&proxy, &id, ME, false).await;
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.json::<Value>().await.unwrap()["id"], id);
    }
    // What is over cannot be cancelled, says the server that made it.
    let reply = by_id(&proxy, &id, ME, true).await;
    assert_eq!(reply.status(), 400);
    assert!(reply.json::<Value>().await.unwrap()["error"]["message"].is_string());
    assert_eq!((home.received().len(), other.received().len()), (6, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_response_of_a_stream_is_remembered_too() {
    let (one, two) = (sim(Config::default()).await, sim(Config::default()).await);
    let proxy = Proxy::start(table(json!([served(MODEL, &[one.url(), two.url()])]))).await;
    let body = ask_stream(RESPONSES);
    let events = Speaks::Http1.stream(proxy.external, RESPONSES, &body).await;
    events.rest().await.unwrap();
    for _ in 0..4 {
        assert_eq!(by_id(&proxy, "resp_the-same", ME, false).await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_response_does_not_exist_for_anybody_else() {
    let (_one, _two, proxy, _table, id) = with_response().await;
    for cancel in [false, true] {
        let theirs = by_id(&proxy, &id, OTHER, cancel).await;
        assert_eq!(theirs.status(), 404);
        let error: Value = theirs.json().await.unwrap();
        assert_eq!(error["error"]["code"], "response_not_found");
        assert_eq!(by_id(&proxy, "resp_unknown", ME, cancel).await.status(), 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_no_longer_use_a_model_does_not_get_its_responses() {
    let (_one, _two, proxy, mut table, id) = with_response().await;
    table["routes"][0]["access"] = json!({ "groups": ["somebody-else"] });
    proxy.update(table);
    for cancel in [false, true] {
        assert_eq!(by_id(&proxy, &id, ME, cancel).await.status(), 403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_of_a_server_that_has_gone_does_not_exist() {
    let (one, two, proxy, mut table, id) = with_response().await;
    let (home, other) = if one.received().is_empty() { (&two, &one) } else { (&one, &two) };
    table["routes"] = json!([served(MODEL, &[other.url()])]);
    proxy.update(table);
    assert_eq!(by_id(&proxy, &id, ME, false).await.status(), 404);
    assert_eq!((home.received().len(), other.received().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_behind_a_catch_all_is_judged_by_the_model_that_was_asked_for() {
    let sim = sim(Config { role: Role::Provider, ..Config::default() }).await;
    let mut table = table(json!([{
        "access": { "public": true }, "upstream": { "provider": { "name": "elsewhere" } },
    }]));
    table["providers"] = json!([{ "name": "elsewhere", "url": sim.url() }]);
    table["keys"][0]["models"] = json!([MODEL]);
    let proxy = Proxy::start(table).await;
    let body = ask(RESPONSES, &json!({}));
    let reply = Speaks::Http1.post(proxy.external, RESPONSES, &body).await.unwrap();
    assert_eq!(reply.status(), 200);
    reply.bytes().await.unwrap();
    assert_eq!(by_id(&proxy, "resp_the-same", ME, false).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_continued_by_its_maker_alone_and_where_it_was_made() {
    let (one, two, proxy, mut table, id) = with_response().await;
    let (home, other) = if one.received().is_empty() { (&two, &one) } else { (&one, &two) };
    let body = json!({ "model": MODEL, "input": "And then?", "previous_response_id": id });
    for _ in 0..4 {
        let answer = proxy.post("/v1/responses", body.to_string()).await;
        assert_eq!(answer.status(), 200);
    }
    assert_eq!((home.received().len(), other.received().len()), (5, 0));
    let stranger = "straaaaanger";
    table["keys"].as_array_mut().unwrap().push(record(stranger, &["ml-team"]));
    proxy.update(table);
    let stolen = reqwest::Client::new()
        .post(proxy.url("/v1/responses"))
        .bearer_auth(key(stranger).reveal())
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(stolen.status(), 404);
    assert_eq!(home.received().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_counted_is_refused() {
    let (one, two, proxy, _table, _id) = with_response().await;
    let body = json!({ "model": MODEL, "input": "Hello", "background": true });
    let answer = proxy.post("/v1/responses", body.to_string()).await;
    assert_eq!(answer.status(), 400);
    let error: Value = answer.json().await.unwrap();
    assert_eq!(error["error"]["param"], "background");
    assert_eq!(one.received().len() + two.received().len(), 1);
}
