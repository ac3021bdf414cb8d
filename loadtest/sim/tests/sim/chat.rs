//! `/v1/chat/completions` against what was observed of vLLM 0.32.

use crate::support::{get, post, request, send};
use llm_sim::{Config, Sim};
use serde_json::{Value, json};

/// 4 + 3 tokens of template and 6 of text are the 13 of the observed bodies.
const THIRTEEN: &str = "a b c d e f";

async fn sim() -> Sim {
    let config = Config { max_model_len: 2048, block_size: 128, ..Config::default() };
    Sim::start(config).await.unwrap()
}

fn ask(extra: &Value) -> Value {
    let mut body = json!({"model": "tiny", "messages": [{"role": "user", "content": THIRTEEN}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

/// A body with what differs from run to run, or is made up here, replaced.
fn stable(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap();
    let created = value["created"].to_string();
    text.replace(&format!("\"created\":{created}"), "\"created\":1795404711")
}

#[tokio::test]
async fn a_whole_answer_has_the_observed_fields_in_order() {
    let sim = sim().await;
    let body = ask(&json!({"max_tokens": 5})).to_string();
    let asked = request("POST", "/v1/chat/completions", &[("x-request-id", "abc-1")], &body);
    let answer = send(&sim, asked).await.unwrap();
    let content = answer.json()["choices"][0]["message"]["content"].to_string();
    assert_eq!(
        stable(&answer.text).replace(&content, "\"atantatantat\""),
        r#"{"id":"chatcmpl-abc-1","object":"chat.completion","created":1795404711,"model":"tiny","choices":[{"index":0,"message":{"role":"assistant","content":"atantatantat","refusal":null,"annotations":null,"audio":null,"function_call":null,"reasoning":null},"logprobs":null,"finish_reason":"length","stop_reason":null,"token_ids":null,"routed_experts":null}],"service_tier":null,"system_fingerprint":"vllm-0.32.0-5be84e9d","usage":{"prompt_tokens":13,"total_tokens":18,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":0,"created_cache_tokens":0,"multimodal_tokens":null},"completion_tokens_details":null},"prompt_logprobs":null,"prompt_token_ids":null,"prompt_text":null,"kv_transfer_params":null,"ec_transfer_params":null,"metrics":null}"#
    );
    assert_eq!(answer.headers["x-request-id"], "abc-1");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["server"], "uvicorn");
}

#[tokio::test]
async fn a_stream_with_both_usage_options_is_the_observed_one() {
    let sim = sim().await;
    let options = json!({"include_usage": true, "continuous_usage_stats": true});
    let body = ask(&json!({"max_tokens": 3, "stream": true, "stream_options": options}));
    let asked =
        request("POST", "/v1/chat/completions", &[("x-request-id", "1")], &body.to_string());
    let answer = send(&sim, asked).await.unwrap();
    assert_eq!(answer.headers["content-type"], "text/event-stream; charset=utf-8");
    let events = answer.events();
    let texts: Vec<String> = events[1..4]
        .iter()
        .map(|event| serde_json::from_str::<Value>(event).unwrap())
        .map(|event| event["choices"][0]["delta"]["content"].to_string())
        .collect();
    let head = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795404711,"model":"tiny","#;
    let expected = [
        r#""choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":{"prompt_tokens":13,"total_tokens":13,"completion_tokens":0,"completion_tokens_details":null},"prompt_token_ids":null,"prompt_text":null}"#.to_owned(),
        format!(r#""choices":[{{"index":0,"delta":{{"content":{}}},"logprobs":null,"finish_reason":null,"token_ids":null}}],"usage":{{"prompt_tokens":13,"total_tokens":14,"completion_tokens":1,"completion_tokens_details":null}}}}"#, texts[0]),
        format!(r#""choices":[{{"index":0,"delta":{{"content":{}}},"logprobs":null,"finish_reason":null,"token_ids":null}}],"usage":{{"prompt_tokens":13,"total_tokens":15,"completion_tokens":2,"completion_tokens_details":null}}}}"#, texts[1]),
        format!(r#""choices":[{{"index":0,"delta":{{"content":{}}},"logprobs":null,"finish_reason":"length","stop_reason":null,"token_ids":null}}],"usage":{{"prompt_tokens":13,"total_tokens":16,"completion_tokens":3,"completion_tokens_details":null}}}}"#, texts[2]),
        r#""choices":[],"usage":{"prompt_tokens":13,"total_tokens":16,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":0,"created_cache_tokens":0}},"system_fingerprint":"vllm-0.32.0-5be84e9d"}"#.to_owned(),
    ];
    for (event, expected) in events.iter().zip(&expected) {
        assert_eq!(stable(event), format!("{head}{expected}"));
    }
    assert_eq!(events[5], "[DONE]");
    assert_eq!(events.len(), 6);
}

#[tokio::test]
async fn usage_comes_only_as_it_was_asked_for() {
    let sim = sim().await;
    for (options, chunks_with_usage) in [
        (json!(null), 0),
        (json!({"continuous_usage_stats": true}), 0),
        (json!({"include_usage": true}), 1),
        (json!({"include_usage": true, "continuous_usage_stats": true}), 5),
    ] {
        let body = ask(&json!({"max_tokens": 3, "stream": true, "stream_options": options}));
        let answer = post(&sim, "/v1/chat/completions", &body).await;
        let events = answer.events();
        let with = events.iter().filter(|event| event.contains("\"usage\"")).count();
        assert_eq!(with, chunks_with_usage, "{options}");
    }
}

#[tokio::test]
async fn the_end_mark_is_an_empty_delta_and_counts_as_a_token() {
    let sim = sim().await;
    let body = ask(&json!({"stream": true, "stream_options": {"include_usage": true}}));
    let answer = post(&sim, "/v1/chat/completions", &body).await;
    let events = answer.events();
    let last: Value = serde_json::from_str(&events[events.len() - 3]).unwrap();
    assert_eq!(last["choices"][0]["delta"], json!({}));
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    let usage: Value = serde_json::from_str(&events[events.len() - 2]).unwrap();
    // One role chunk, one chunk per token, one for usage, one [DONE].
    assert_eq!(usage["usage"]["completion_tokens"], events.len() - 3);
}

#[tokio::test]
async fn stream_and_whole_answer_say_the_same() {
    let sim = sim().await;
    let whole = post(&sim, "/v1/chat/completions", &ask(&json!({}))).await.json();
    let stream = post(&sim, "/v1/chat/completions", &ask(&json!({"stream": true}))).await;
    let events = stream.events();
    let deltas = events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
    let text: String = deltas
        .filter_map(|e| e["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(whole["choices"][0]["message"]["content"], text);
    assert!(text.ends_with('.'), "{text}");
}

#[tokio::test]
async fn the_prefix_cache_reports_whole_blocks() {
    let sim = sim().await;
    let messages = json!([{"role": "user", "content": " a".repeat(353)}]);
    let body = json!({"model": "tiny", "messages": messages, "max_tokens": 1});
    for (cached, created) in [(0, 256), (256, 0)] {
        let usage = post(&sim, "/v1/chat/completions", &body).await.json()["usage"].clone();
        assert_eq!(usage["prompt_tokens"], 360);
        assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], cached);
        assert_eq!(usage["prompt_tokens_details"]["created_cache_tokens"], created);
    }
}

#[tokio::test]
async fn prompt_and_answer_together_are_clamped_not_refused() {
    let sim = sim().await;
    let messages = json!([{"role": "user", "content": " a".repeat(1494)}]);
    let body = json!({"messages": messages, "max_tokens": 1000, "ignore_eos": true, "unknown": 1});
    let answer = post(&sim, "/v1/chat/completions", &body).await.json();
    assert_eq!(answer["usage"]["prompt_tokens"], 1501);
    assert_eq!(answer["usage"]["completion_tokens"], 547);
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["model"], "tiny", "a missing model is taken to be the server's own");
}

#[tokio::test]
async fn several_choices_differ_and_are_counted_together() {
    let sim = sim().await;
    let answer = post(&sim, "/v1/chat/completions", &ask(&json!({"n": 2, "max_tokens": 8}))).await;
    let choices = answer.json()["choices"].clone();
    assert_ne!(choices[0]["message"]["content"], choices[1]["message"]["content"]);
    assert_eq!(answer.json()["usage"]["completion_tokens"], 16);
}

#[tokio::test]
async fn a_stop_string_ends_the_answer_and_is_named() {
    let sim = sim().await;
    let body = ask(&json!({"stop": [" the"]}));
    let choice = post(&sim, "/v1/chat/completions", &body).await.json()["choices"][0].clone();
    assert_eq!(
        (&choice["finish_reason"], &choice["stop_reason"]),
        (&json!("stop"), &json!(" the"))
    );
    assert!(!choice["message"]["content"].as_str().unwrap().contains(" the"));
}

fn weather_tool() -> Value {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    json!([{"type": "function", "function": {"name": "get_weather", "parameters": parameters}}])
}

#[tokio::test]
async fn a_question_about_the_weather_calls_the_tool() {
    let sim = sim().await;
    let messages = json!([{"role": "user", "content": "How is the weather?"}]);
    let body = json!({"model": "tiny", "messages": messages, "tools": weather_tool()});
    let choice = post(&sim, "/v1/chat/completions", &body).await.json()["choices"][0].clone();
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], Value::Null);
    let function = &choice["message"]["tool_calls"][0]["function"];
    assert_eq!(*function, json!({"name": "get_weather", "arguments": "{\"city\":\"Paris\"}"}));
}

#[tokio::test]
async fn a_streamed_tool_call_is_put_together_from_its_deltas() {
    let sim = sim().await;
    let body = ask(&json!({"tools": weather_tool(), "tool_choice": "required", "stream": true}));
    let answer = post(&sim, "/v1/chat/completions", &body).await;
    let (mut name, mut arguments, mut finish) = (String::new(), String::new(), Value::Null);
    for event in answer.events().iter().filter_map(|e| serde_json::from_str::<Value>(e).ok()) {
        let choice = &event["choices"][0];
        let function = &choice["delta"]["tool_calls"][0]["function"];
        name.push_str(function["name"].as_str().unwrap_or(""));
        arguments.push_str(function["arguments"].as_str().unwrap_or(""));
        finish = choice["finish_reason"].clone();
    }
    assert_eq!((name.as_str(), arguments.as_str()), ("get_weather", "{\"city\":\"Paris\"}"));
    assert_eq!(finish, "tool_calls");
}

#[tokio::test]
async fn tools_that_may_not_be_called_are_not() {
    let sim = sim().await;
    let messages = json!([{"role": "user", "content": "How is the weather?"}]);
    let tools = weather_tool();
    let body = json!({"messages": messages, "tools": tools, "tool_choice": "none"});
    let answer = post(&sim, "/v1/chat/completions", &body).await.json();
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn an_answer_without_a_given_id_gets_one_of_sixteen_digits() {
    let sim = sim().await;
    let answer = post(&sim, "/v1/chat/completions", &ask(&json!({}))).await;
    assert_eq!(answer.json()["id"].as_str().unwrap().len(), "chatcmpl-".len() + 16);
    assert_eq!(answer.headers["x-request-id"].len(), 32);
    assert_eq!(get(&sim, "/health").await.text, "");
}
