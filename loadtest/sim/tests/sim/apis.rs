//! The other APIs against what was observed of vLLM 0.32, or what its types say.

use llm_sim::{Config, Sim};
use serde_json::{Value, json};

use crate::support::{Answer, get, post, request, send};

async fn sim() -> Sim {
    let config = Config { max_model_len: 2048, block_size: 128, ..Config::default() };
    Sim::start(config).await.unwrap()
}

fn messages() -> Value {
    json!([{"role": "user", "content": "a b c d e f"}])
}

fn parsed(answer: &Answer) -> Vec<Value> {
    answer.events().iter().filter_map(|event| serde_json::from_str(event).ok()).collect()
}

/// The text with one value of its JSON replaced.
fn with(text: &str, pointer: &str, value: &str) -> String {
    let json: Value = serde_json::from_str(text).unwrap();
    text.replacen(&json.pointer(pointer).unwrap().to_string(), value, 1)
}

#[tokio::test]
async fn a_completion_has_the_observed_fields() {
    let sim = sim().await;
    let body = json!({"model": "tiny", "prompt": "a b c", "max_tokens": 3});
    let answer = post(&sim, "/v1/completions", &body).await;
    let text = with(&answer.text, "/choices/0/text", "\"at\"");
    let from = text.find("\"choices\"").unwrap();
    assert!(answer.text.starts_with("{\"id\":\"cmpl-"), "{}", answer.text);
    assert_eq!(
        text.get(from..).unwrap(),
        r#""choices":[{"index":0,"text":"at","logprobs":null,"finish_reason":"length","stop_reason":null,"token_ids":null,"prompt_logprobs":null,"prompt_token_ids":null,"routed_experts":null}],"service_tier":null,"system_fingerprint":"vllm-0.32.0-5be84e9d","usage":{"prompt_tokens":3,"total_tokens":6,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":0,"created_cache_tokens":null,"multimodal_tokens":null},"completion_tokens_details":null},"kv_transfer_params":null}"#
    );
}

#[tokio::test]
async fn a_completion_stream_has_no_role_chunk_and_ends_with_done() {
    let sim = sim().await;
    let options = json!({"include_usage": true});
    let body =
        json!({"prompt": "a b c", "max_tokens": 3, "stream": true, "stream_options": options});
    let answer = post(&sim, "/v1/completions", &body).await;
    let events = answer.events();
    assert_eq!(events.len(), 5);
    assert!(events[3].contains(r#""choices":[],"usage":{"prompt_tokens":3,"total_tokens":6,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":0}}"#), "{}", events[3]);
    assert_eq!(events[4], "[DONE]");
}

#[tokio::test]
async fn a_completion_takes_texts_and_tokens() {
    let sim = sim().await;
    for (prompt, choices, prompt_tokens) in [
        (json!("a b"), 1, 2),
        (json!(["a b", "c"]), 2, 3),
        (json!([300, 301, 302]), 1, 3),
        (json!([[300, 301], [302]]), 2, 3),
    ] {
        let answer = post(&sim, "/v1/completions", &json!({"prompt": prompt})).await.json();
        assert_eq!(answer["choices"].as_array().unwrap().len(), choices, "{prompt}");
        assert_eq!(answer["usage"]["prompt_tokens"], prompt_tokens, "{prompt}");
    }
}

#[tokio::test]
async fn a_message_has_the_observed_fields() {
    let sim = sim().await;
    let body = json!({"model": "tiny", "max_tokens": 3, "messages": messages()}).to_string();
    let asked = request("POST", "/v1/messages", &[("x-request-id", "83cff9f172de9650")], &body);
    let answer = send(&sim, asked).await.unwrap();
    assert_eq!(
        with(&answer.text, "/content/0/text", "\"atantat\""),
        r#"{"id":"chatcmpl-83cff9f172de9650","type":"message","role":"assistant","content":[{"type":"text","text":"atantat"}],"model":"tiny","stop_reason":"max_tokens","usage":{"input_tokens":13,"output_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":0}}"#
    );
}

#[tokio::test]
async fn cached_tokens_are_not_input_tokens_of_a_message() {
    let sim = sim().await;
    let long = json!([{"role": "user", "content": " a".repeat(353)}]);
    let body = json!({"model": "tiny", "max_tokens": 3, "messages": long});
    post(&sim, "/v1/messages", &body).await;
    let usage = post(&sim, "/v1/messages", &body).await.json()["usage"].clone();
    assert_eq!(
        (&usage["input_tokens"], &usage["cache_read_input_tokens"]),
        (&json!(104), &json!(256))
    );
}

#[tokio::test]
async fn a_message_stream_has_the_observed_events() {
    let sim = sim().await;
    let body = json!({"model": "tiny", "max_tokens": 2, "stream": true, "messages": messages()});
    let answer = post(&sim, "/v1/messages", &body).await;
    assert_eq!(
        answer.names(),
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
    let events = parsed(&answer);
    assert_eq!(events[0]["message"]["usage"], json!({"input_tokens": 13, "output_tokens": 0}));
    let usage = json!({"input_tokens": 13, "output_tokens": 2, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0});
    assert_eq!(events[5]["usage"], usage);
    assert!(!answer.text.contains("[DONE]"));
}

#[tokio::test]
async fn a_message_that_hits_a_stop_sequence_names_it() {
    let sim = sim().await;
    let body = json!({"model": "tiny", "max_tokens": 99, "stop_sequences": [" the"], "messages": messages()});
    let answer = post(&sim, "/v1/messages", &body).await;
    assert!(
        answer.text.contains(r#""stop_reason":"stop_sequence","stop_sequence":" the""#),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_message_can_use_a_tool() {
    let sim = sim().await;
    let tool = json!({"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}});
    let body = json!({"model": "tiny", "max_tokens": 99, "tools": [tool], "tool_choice": {"type": "any"}, "messages": messages()});
    let answer = post(&sim, "/v1/messages", &body).await.json();
    assert_eq!(answer["stop_reason"], "tool_use");
    assert_eq!(answer["content"][0]["input"], json!({"city": "Paris"}));
}

#[tokio::test]
async fn counted_tokens_are_those_of_the_prompt() {
    let sim = sim().await;
    let body = json!({"model": "tiny", "messages": messages()});
    let answer = post(&sim, "/v1/messages/count_tokens", &body).await;
    assert_eq!(
        answer.text,
        r#"{"input_tokens":13,"context_management":{"original_input_tokens":13}}"#
    );
    assert_eq!(post(&sim, "/tokenize", &body).await.json()["count"], 13);
}

#[tokio::test]
async fn a_response_that_was_cut_is_incomplete() {
    let sim = sim().await;
    let body = json!({"model": "tiny", "input": "a b c d e f", "max_output_tokens": 3});
    let answer = post(&sim, "/v1/responses", &body).await;
    assert!(answer.text.contains(r#""status":"incomplete""#), "{}", answer.text);
    assert!(answer.text.contains(r#""incomplete_details":{"reason":"max_output_tokens"}"#));
    assert!(answer.text.contains(r#""usage":{"input_tokens":13,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0,"input_tokens_per_turn":[],"cached_tokens_per_turn":[]},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":0,"tool_output_tokens":0,"output_tokens_per_turn":[],"tool_output_tokens_per_turn":[]},"total_tokens":16}"#), "{}", answer.text);
}

#[tokio::test]
async fn a_response_stream_has_the_observed_events_and_usage_only_in_the_last() {
    let sim = sim().await;
    let body = json!({"input": "a b c d e f", "max_output_tokens": 2, "stream": true});
    let answer = post(&sim, "/v1/responses", &body).await;
    assert_eq!(
        answer.names(),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let events = parsed(&answer);
    assert_eq!(events[0]["response"]["usage"], Value::Null);
    assert_eq!(events[9]["response"]["usage"]["total_tokens"], 15);
    assert_eq!(events[9]["response"]["status"], "incomplete");
    assert!(events.iter().enumerate().all(|(at, event)| event["sequence_number"] == at));
    assert!(!answer.text.contains("[DONE]"));
}

#[tokio::test]
async fn a_response_is_found_again_by_its_id() {
    let sim = sim().await;
    for stream in [false, true] {
        let body = json!({"input": "a b c", "stream": stream});
        let answer = post(&sim, "/v1/responses", &body).await;
        let made = if stream {
            parsed(&answer).last().unwrap()["response"].clone()
        } else {
            answer.json()
        };
        let path = format!("/v1/responses/{}", made["id"].as_str().unwrap());
        assert_eq!(get(&sim, &path).await.json(), made);
        let cancelled = post(&sim, &format!("{path}/cancel"), &json!({})).await;
        assert_eq!(cancelled.status, 400);
    }
    let body = json!({"input": "a b c", "store": false});
    let id = post(&sim, "/v1/responses", &body).await.json()["id"].clone();
    assert_eq!(get(&sim, &format!("/v1/responses/{}", id.as_str().unwrap())).await.status, 404);
}

#[tokio::test]
async fn tokens_become_the_text_they_came_from() {
    let sim = sim().await;
    let tokens = post(&sim, "/tokenize", &json!({"prompt": "Good morning"})).await.json();
    assert_eq!((&tokens["count"], &tokens["max_model_len"]), (&json!(3), &json!(2048)));
    assert_eq!(tokens["token_strs"], Value::Null);
    let body = json!({"tokens": tokens["tokens"]});
    assert_eq!(post(&sim, "/detokenize", &body).await.text, r#"{"prompt":"Good morning"}"#);
}

#[tokio::test]
async fn embeddings_come_as_floats_or_base64() {
    let sim = sim().await;
    let body = json!({"model": "tiny", "input": ["Hi", "there"], "dimensions": 3});
    let answer = post(&sim, "/v1/embeddings", &body).await.json();
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    assert_eq!(answer["data"][0]["embedding"].as_array().unwrap().len(), 3);
    assert_eq!(answer["usage"]["prompt_tokens"], 2);
    let body =
        json!({"model": "tiny", "input": "Hi", "dimensions": 3, "encoding_format": "base64"});
    let answer = post(&sim, "/v1/embeddings", &body).await.json();
    assert_eq!(answer["data"][0]["embedding"].as_str().unwrap().len(), 16);
}

#[tokio::test]
async fn what_ranks_and_scores_answers_in_its_shape() {
    let sim = sim().await;
    let body = json!({"query": "q", "documents": ["one", {"text": "two"}, "three"], "top_n": 2});
    for path in ["/rerank", "/v1/rerank", "/v2/rerank"] {
        let results = post(&sim, path, &body).await.json()["results"].clone();
        assert_eq!(results.as_array().unwrap().len(), 2);
        assert!(results[0]["relevance_score"].as_f64() >= results[1]["relevance_score"].as_f64());
    }
    let body = json!({"text_1": "q", "text_2": ["one", "two"]});
    for path in ["/score", "/v1/score"] {
        assert_eq!(post(&sim, path, &body).await.json()["data"].as_array().unwrap().len(), 2);
    }
    let body = json!({"input": "one"});
    assert_eq!(post(&sim, "/classify", &body).await.json()["data"][0]["num_classes"], 2);
    assert_eq!(post(&sim, "/pooling", &body).await.json()["data"][0]["object"], "pooling");
}

#[tokio::test]
async fn a_recording_is_transcribed_whatever_the_order_of_its_fields() {
    let sim = sim().await;
    let field = |name: &str, value: &str| {
        format!("--cut\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let file = "--cut\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n\r\n";
    let media = ("content-type", "multipart/form-data; boundary=cut");
    let path = "/v1/audio/transcriptions";
    for body in [
        format!("{}{file}--cut--\r\n", field("model", "tiny")),
        format!("{file}{}--cut--\r\n", field("model", "tiny")),
    ] {
        let answer = send(&sim, request("POST", path, &[media], &body)).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["usage"], json!({"type": "duration", "seconds": 1}));
    }
    let body = format!("{file}{}--cut--\r\n", field("stream", "true"));
    let answer = send(&sim, request("POST", path, &[media], &body)).await.unwrap();
    assert_eq!(answer.events().last().unwrap(), "[DONE]");
    let body = format!("{file}{}--cut--\r\n", field("model", "nope"));
    let answer = send(&sim, request("POST", path, &[media], &body)).await.unwrap();
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn what_operators_ask_is_answered_as_observed() {
    let sim = sim().await;
    let models = get(&sim, "/v1/models").await;
    let created = models.json()["data"][0]["created"].to_string();
    let id = models.json()["data"][0]["permission"][0]["id"].to_string();
    assert_eq!(
        models
            .text
            .replace(&created, "1795404711")
            .replace(&id, "\"modelperm-abd4f0f432b69030\"")
            .replace("/models/weights", "MODEL_DIR"),
        r#"{"object":"list","data":[{"id":"tiny","object":"model","created":1795404711,"owned_by":"vllm","root":"MODEL_DIR","parent":null,"max_model_len":2048,"permission":[{"id":"modelperm-abd4f0f432b69030","object":"model_permission","created":1795404711,"allow_create_engine":false,"allow_sampling":true,"allow_logprobs":true,"allow_search_indices":false,"allow_view":true,"allow_fine_tuning":false,"organization":"*","group":null,"is_blocking":false}]}]}"#
    );
    for path in ["/health", "/ping"] {
        let answer = get(&sim, path).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
    }
    assert_eq!(get(&sim, "/version").await.text, r#"{"version":"0.32.0"}"#);
    assert_eq!(get(&sim, "/load").await.text, r#"{"server_load":0}"#);
}
